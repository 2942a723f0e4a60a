"""How good answers are, by task, as streaming TorchMetrics."""
