"""Images: structure, embedded generation parameters, records."""
