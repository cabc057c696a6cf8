"""How processes are stopped: with their parent, and within the time that the platform gives them."""
