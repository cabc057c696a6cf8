"""Benchmarks of the job pipeline."""
