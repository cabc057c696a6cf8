"""The gallery: profiles, collections and tokens; their records, encodings and request schemas."""
