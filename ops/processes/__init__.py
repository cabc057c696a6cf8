"""Processes: supervisor, embedded Redis server, gunicorn worker and command, temporary directories."""
