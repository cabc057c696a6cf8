"""HTTP plumbing shared by all views: authentication, limits, bodies, errors, logs."""
