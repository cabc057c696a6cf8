"""What model files and the files beside them say: formats, read without opening anything that could run. Pure."""
