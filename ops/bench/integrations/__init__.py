"""Benchmarks of sites, webhooks and the model library."""
