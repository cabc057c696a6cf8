"""Commands for the model library."""
