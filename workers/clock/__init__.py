"""Periodic sweeps and canaries."""
