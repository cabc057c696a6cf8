"""The hands: Dramatiq actors, and the browsers that they drive."""
