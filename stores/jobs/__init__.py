"""Jobs, attempts, events, results."""
