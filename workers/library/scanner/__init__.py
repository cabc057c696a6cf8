"""Walks, reads and hashes model files."""
