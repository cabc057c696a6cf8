"""The file by which a container or a supervisor sees that a process without HTTP still does its work."""

import contextlib
from pathlib import Path


def touch_liveness_file(path: Path | None) -> None:
    """Set the file's time to now, and create it at first; does nothing without a path.

    Call it where the process does its work, not on a thread of its own: a file that ages shows that the work has
    stopped. A full disk must not end the process, so errors are ignored; the file ages then too.
    """
    if path is not None:
        with contextlib.suppress(OSError):
            path.touch()
