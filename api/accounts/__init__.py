"""Views for API keys, sessions and quota."""
