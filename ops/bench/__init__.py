"""Owns the benches: each measures Darkroom and a baseline in one run. Called through ``ops.cli``."""
