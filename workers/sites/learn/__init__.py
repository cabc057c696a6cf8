"""Finding out which program answers at a URL, and writing a recipe for a page that has none."""
