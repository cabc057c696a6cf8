"""The reading of the scripts that are put into pages: each is one function, below its comments."""

from itertools import dropwhile
from pathlib import Path


def load_function(path: Path) -> str:
    """The function in a script file, as an expression."""
    lines = path.read_text().splitlines()
    return "\n".join(dropwhile(lambda line: line.startswith("//"), lines)).rstrip().rstrip(";")
