"""Decoding, inspection and conversion of images."""
