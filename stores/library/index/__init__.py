"""The index of model files: which model and version each file belongs to, and what sources say about them."""
