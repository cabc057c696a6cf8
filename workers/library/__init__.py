"""The model library: indexing in a background process, and the command line. See ``stores.library`` for its data."""
