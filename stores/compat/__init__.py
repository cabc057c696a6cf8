"""State of the APIs of other programs: options of callers, and the jobs of each request."""
