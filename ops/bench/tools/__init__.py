"""Tools that benches share."""
