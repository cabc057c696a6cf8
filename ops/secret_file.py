"""Owns files with one secret each, which only their owner can read and which are made on first use.

Used by ``stores.keys`` and ``stores.sessions``.
"""

import os
from collections.abc import Callable
from pathlib import Path


def read_or_make(path: Path, make: Callable[[], str]) -> str:
    """What the file holds; what ``make`` returns if there was none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return _make(path, make())


def _make(path: Path, text: str) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    try:
        # A link fails where the file exists: of two processes that start together one makes it, both use it.
        path.hardlink_to(draft)
    except FileExistsError:
        return path.read_text()
    finally:
        draft.unlink()
    return text
