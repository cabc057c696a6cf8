"""Temporary Darkrooms, a hostile site and a TCP relay, for benchmarks, fault injection and tests."""
