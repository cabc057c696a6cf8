"""Owns the reading of the scripts that are put into pages: each is one function, below its comments.

Used by ``workers.sites.observer`` and ``workers.sites.explain``.
"""

from itertools import dropwhile
from pathlib import Path


def function_in(name: str) -> str:
    """The function in a script file of this folder, as an expression."""
    lines = (Path(__file__).parent / name).read_text().splitlines()
    return "\n".join(dropwhile(lambda line: line.startswith("//"), lines)).rstrip().rstrip(";")
