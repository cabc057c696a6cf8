"""Decodes, converts and accepts images."""
