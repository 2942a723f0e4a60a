"""Weights: loaded strictly, whatever their layout, without executing anything a file names; saved as folders of data."""
