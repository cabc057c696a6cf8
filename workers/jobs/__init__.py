"""Runs attempts at jobs."""
