"""Atomic file writes: a reader sees the old content or the new one, never a part of it.

The content goes to a temporary file in the same directory, is flushed to disk with fsync, and then takes the file's
name. The directory is flushed as well, so that the change survives a power failure. ``durable=False`` leaves out both
flushes, for many files that can be written again. Standard library only, because ``ops.bootstrap`` runs before any
package is installed.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

DEFAULT_MODE = 0o666


@contextmanager
def atomic_file(path: Path, *, mode: int = DEFAULT_MODE, durable: bool = True) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces ``path`` when the block ends; an exception leaves ``path`` unchanged.

    ``mode`` holds the permission bits of the new file; the process's umask is applied to them.
    """
    with _temp_file(path, mode) as (temp_path, file):
        yield file
        _flush(file, durable=durable)
        temp_path.replace(path)
    if durable:
        _fsync_dir(path.parent)


def write_atomically(path: Path, content: bytes | str, *, mode: int = DEFAULT_MODE, durable: bool = True) -> None:
    """Replace the content of ``path``, or create it. Text is written as UTF-8."""
    with atomic_file(path, mode=mode, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def create_atomically(path: Path, content: bytes | str, *, mode: int = DEFAULT_MODE) -> None:
    """Create ``path`` with all of its content, unless another process has created it first.

    Raises:
        FileExistsError: the file exists; it is left unchanged.
    """
    with _temp_file(path, mode) as (temp_path, file):
        file.write(content.encode() if isinstance(content, str) else content)
        _flush(file, durable=True)
        # rename() would overwrite an existing file; link() fails, so exactly one process wins the race.
        path.hardlink_to(temp_path)
    _fsync_dir(path.parent)


@contextmanager
def _temp_file(path: Path, mode: int) -> Iterator[tuple[Path, BinaryIO]]:
    # A name of fixed length: one derived from path.name could exceed the limit of the file system.
    temp_path = path.with_name(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temp_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield temp_path, file
    finally:
        temp_path.unlink(missing_ok=True)


def _flush(file: BinaryIO, *, durable: bool) -> None:
    file.flush()
    if durable:
        os.fsync(file.fileno())


def _fsync_dir(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
