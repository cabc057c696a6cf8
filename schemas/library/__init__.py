"""The model library: metadata and its sources, scan records, views, search, sanitizing."""
