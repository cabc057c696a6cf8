"""The gallery over HTTP: the native API below ``/api/v1/gallery``, and the pages for people in ``pages``."""
