"""Processes behind the queue: worker, background and clock."""
