"""Owns the entry point of the library's commands: ``python -m workers.library scan``."""

from workers.library.commands import library

if __name__ == "__main__":
    library(prog_name="darkroom library")
