"""Benches of sites, webhooks and the library."""
