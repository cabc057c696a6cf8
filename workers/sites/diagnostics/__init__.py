"""Failure reports and selector suggestions."""
