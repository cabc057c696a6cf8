"""Finds, reads, hashes and watches model files."""
