"""Writes to the library index: scans, metadata, merges, hashes."""
