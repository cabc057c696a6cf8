"""Diagnostics of failed attempts: failure report and selector suggestions."""
