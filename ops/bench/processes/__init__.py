"""Benchmarks of processes as a whole."""
