"""How good a model is on labelled data: the tasks' metrics, and protocols for encoders."""
