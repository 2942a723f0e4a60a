"""The training loop on Accelerate, and all that a run leaves behind."""
