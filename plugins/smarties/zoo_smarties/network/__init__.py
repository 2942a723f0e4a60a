"""SMARTIES' networks, one file each: encoder, joint encoder of two sensors, auto-encoder."""
