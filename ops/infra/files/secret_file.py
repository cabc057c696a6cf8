"""Files that hold one secret each: readable by their owner only, created on first use."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.infra.files.atomic_write import create_atomically, write_atomically
from ops.infra.files.private_files import FILE_MODE, make_private_folder


def read_or_create(path: Path, create: Callable[[], str]) -> str:
    """Return the content of the file; if there is no file, create it with what ``create`` returns.

    Of several processes that start together one creates the file and all return its content.
    """
    try:
        return path.read_text()
    except FileNotFoundError:
        secret = create()
    make_private_folder(path.parent)
    try:
        create_atomically(path, secret, mode=FILE_MODE)
    except FileExistsError:
        return path.read_text()
    return secret


def replace(path: Path, secret: str) -> None:
    """Replace the secret atomically; the old one cannot come back after a power failure."""
    make_private_folder(path.parent)
    write_atomically(path, secret, mode=FILE_MODE)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold a lock against all other processes of this machine until the block ends or this process dies.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    make_private_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
