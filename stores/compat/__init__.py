"""What the APIs of other programs keep: options of callers, and the jobs of one request."""
