"""Labelled data for training and evaluation: readers of published layouts and of the user's own."""
