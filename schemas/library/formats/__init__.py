"""Model file formats, training metadata and content hashes."""
