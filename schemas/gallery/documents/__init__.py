"""Documents about tokens and collections for other programs: metadata, and archives of collections."""
