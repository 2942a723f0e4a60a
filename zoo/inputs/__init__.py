"""From a file's channels and numbers to a network's tensors: matched by name, checked, and only here scaled."""
