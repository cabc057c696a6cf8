"""The Dramatiq queue and worker heartbeats."""
