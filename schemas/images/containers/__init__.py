"""Text containers in image files: chunks, EXIF, encodings, stealth PNG."""
