"""HTTP infrastructure of all views: authentication, rate limits, bodies, errors, logs, streams."""
