"""Benches of event delivery to clients."""
