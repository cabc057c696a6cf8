"""The rooms, one module each."""
