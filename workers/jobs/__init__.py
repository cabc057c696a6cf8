"""Execution of jobs and site queries in a worker."""
