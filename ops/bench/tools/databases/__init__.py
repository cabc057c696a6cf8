"""Databases with many rows, for benchmarks."""
