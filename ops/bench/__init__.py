"""Benchmarks: each measures Darkroom and a baseline in one run, prints a table and JSON, and checks targets."""
