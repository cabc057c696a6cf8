"""Benchmarks of event delivery to clients."""
