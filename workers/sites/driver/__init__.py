"""Executes a recipe on a page: steps, selectors, LoRA catalogue, image capture."""
