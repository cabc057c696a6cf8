"""Views for the model library."""
