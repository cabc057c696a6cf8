"""Observes a page: previews, progress, errors."""
