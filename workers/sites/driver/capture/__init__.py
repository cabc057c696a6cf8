"""Fetches the original bytes of pictures from a page: from its elements, its responses or its downloads."""
