"""Site policy: robots.txt, back-off, request blocking."""
