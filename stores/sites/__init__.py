"""Recipes, site credentials, circuit breakers, canaries."""
