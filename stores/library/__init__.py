"""Owns the model library's state: what lies on disk, what is said of it, what people have written. SQL only."""
