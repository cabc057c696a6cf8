"""Browsers: pool, launchers, egress proxy."""
