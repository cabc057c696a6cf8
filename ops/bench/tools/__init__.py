"""Tools that several benchmarks share."""
