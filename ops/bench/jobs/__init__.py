"""Benches of the job pipeline."""
