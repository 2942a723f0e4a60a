"""What training minimises, by task, on tensors: sums with their counts."""
