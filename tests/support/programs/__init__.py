"""The programs that the shipped recipes are tested against, served by one process: see ``serve``."""
