"""Observation of a page: a script in the page, and the page's WebSocket messages."""
