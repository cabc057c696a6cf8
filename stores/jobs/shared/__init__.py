"""Reads of jobs that several watchers of one process share."""
