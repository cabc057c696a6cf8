"""The kit for recipes: look at a page, try it, sign in to it."""
