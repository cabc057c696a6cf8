"""Drives a page as a recipe says."""
