"""Darkrooms, pages and relays for benches and chaos runs."""
