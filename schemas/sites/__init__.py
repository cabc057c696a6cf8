"""Recipes: records, schemas, templates, import of recordings."""
