"""Model file formats and content hashes."""
