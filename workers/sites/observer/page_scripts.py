"""Loads the JavaScript functions that are evaluated in pages."""

from itertools import dropwhile
from pathlib import Path


def load_function(path: Path) -> str:
    """Return the function in a script file as an expression, without the leading comments and a trailing semicolon."""
    lines = path.read_text().splitlines()
    return "\n".join(dropwhile(lambda line: line.startswith("//"), lines)).rstrip().rstrip(";")
