"""The garbage collector while a process loads its code.

What is loaded lives as long as the process, so collections find nothing: they take an eighth of the time of a start.
Later, full collections without what was loaded are short; they would be the longest pauses of the process.
This module must not import ``ssl``, directly or indirectly: see ``gunicorn_worker``.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collections() -> Iterator[None]:
    """Load code in this block. Later collections skip the objects that were loaded in it."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
