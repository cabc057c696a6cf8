"""The native API of the gallery, below ``/api/v1/gallery``."""
