"""A small disk that tests can fill: a file system in memory where this user may mount one."""

import contextlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psutil

BALLAST = "ballast"
PAGE_BYTES = 4096
MAX_FILE_BYTES = 1024


class Disk(Protocol):
    """A disk that can be full for a while."""

    def fill(self) -> None:
        """Leave no room."""

    def free(self) -> None:
        """Make room again."""


class SmallDisk:
    """A file system of a fixed size below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave no room, for new files either."""
        with (self.folder / BALLAST).open("wb", buffering=0) as file:
            # What other processes free or write meanwhile changes the room that is left.
            for size in (1024 * PAGE_BYTES, PAGE_BYTES, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self) -> None:
        """Make room again."""
        (self.folder / BALLAST).unlink(missing_ok=True)


class FileSizeLimits:
    """A stand-in for a full disk where no file system can be mounted: running processes write only tiny files.

    Not for the Redis server and browsers, which the signal of an exceeded limit would end.
    """

    def __init__(self, find_processes: Callable[[], Iterable[psutil.Process]]) -> None:
        self._find_processes = find_processes

    def fill(self) -> None:
        """Limit the size of all files that the processes write."""
        self._limit(MAX_FILE_BYTES)

    def free(self) -> None:
        """Lift the limit."""
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, limit: int) -> None:
        for process in self._find_processes():
            with contextlib.suppress(psutil.Error, OSError, ValueError):
                _, hard = process.rlimit(resource.RLIMIT_FSIZE)
                process.rlimit(resource.RLIMIT_FSIZE, (hard if limit == resource.RLIM_INFINITY else limit, hard))


@contextmanager
def mount_small_disk(size_bytes: int, prefix: str) -> Iterator[SmallDisk | None]:
    """Yield a small disk, unmounted at the end; None if this user may not mount one."""
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        options = f"size={size_bytes},mode=0700"
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", name]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            yield None
            return
        try:
            yield SmallDisk(Path(name))
        finally:
            # Lazily: a process that is just ending may still have a file open.
            subprocess.run(["umount", "--lazy", name], check=True)
