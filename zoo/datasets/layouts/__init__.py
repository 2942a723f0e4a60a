"""Layouts of zoo's own, for data of the user's: each function opens a folder as a `zoo.datasets.sample.Reader`."""
