"""Routes for documents about tokens and collections: metadata, provenance and archives."""
