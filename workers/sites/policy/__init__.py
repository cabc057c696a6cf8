"""Rules for visits to sites: robots.txt, requested pauses, and the requests that a page may not make."""
