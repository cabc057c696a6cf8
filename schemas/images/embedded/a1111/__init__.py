"""AUTOMATIC1111 infotext."""
