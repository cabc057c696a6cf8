"""Command line of the model library."""
