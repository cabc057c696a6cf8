"""Requests of the gallery: schemas of bodies and queries, and their fields."""
