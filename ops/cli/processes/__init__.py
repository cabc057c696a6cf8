"""The commands that run Darkroom's processes."""
