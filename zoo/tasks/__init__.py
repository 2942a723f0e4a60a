"""The six tasks: what a network's output means, and how it becomes a result."""
