"""Processes: supervisor, embedded Redis, gunicorn worker."""
