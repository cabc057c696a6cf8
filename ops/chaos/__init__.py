"""Fault injection: load on a temporary Darkroom while its processes are killed and paused, then a consistency check."""
