"""The opening of files below the library's roots: never anything outside, whatever paths and links say."""

import errno
import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from schemas.errors import NotFound, PathNotAllowed, Unavailable

IN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Opening a pipe would wait for its other end.
TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
# What a link, a file, a pipe say to what is done to one of the others.
SWAPPED = (errno.ELOOP, errno.EINVAL, errno.ENXIO)
DENIED = (errno.EACCES, errno.EPERM)
RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file inside a root, open for reading until it is closed.

    ``path`` is absolute and has no links in it; ``below`` is the same relative to the root of number ``root``.
    """

    file: io.FileIO
    size_bytes: int
    mtime_ns: int
    inode: int
    path: bytes
    root_index: int
    relative_path: bytes

    @property
    def fd(self) -> int:
        """The descriptor; ValueError once it is closed, so that it is never another file's."""
        return self.file.fileno()

    def is_unchanged(self) -> bool:
        """Whether the file is still as it was when it was opened, as far as size and time tell."""
        now = os.fstat(self.fd)
        return (now.st_size, now.st_mtime_ns) == (self.size_bytes, self.mtime_ns)

    def close(self) -> None:
        """Let go of it; a second time does nothing."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_within(root: Path, relative: bytes, roots: Sequence[Path]) -> OpenFile:
    """The file at ``relative`` below ``root``, which is one of ``roots``; a link may lead into any of them.

    Raises:
        Refused: it is outside all roots, no regular file, was swapped while it was opened, or may not be read.
        NotFound: there is none.
        Unavailable: the disk or this process is in trouble.
    """
    parts = relative.split(b"/")
    if relative.startswith(b"/") or b".." in parts:
        raise PathNotAllowed("The path leads out of the library.")
    try:
        path = os.path.realpath(os.path.join(os.fsencode(root), relative), strict=True)  # noqa: PTH118 - bytes
        number, base = _root_of(path, roots)
        return _open(path, number, base)
    except ValueError as error:
        raise NotFound("There is no such file: its name has a zero byte.") from error
    except OSError as error:
        _raise_ours(error)


def _root_of(path: bytes, roots: Sequence[Path]) -> tuple[int, bytes]:
    """The number of the root that a resolved path is in, and that root, resolved, with a separator at its end."""
    for number, root in enumerate(roots):
        base = os.path.realpath(os.fsencode(root)).rstrip(b"/") + b"/"
        if path.startswith(base):
            return number, base
    raise PathNotAllowed("The path leads out of the library, by a link.")


def _open(path: bytes, number: int, base: bytes) -> OpenFile:
    """Walk to it from the root, part by part. The path has no links: one that is met on the way was put there since."""
    below = path.removeprefix(base)
    *folders, name = below.split(b"/")
    folder = os.open(base, IN_FOLDER)
    try:
        for part in folders:
            inner = os.open(part, IN_FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # A device is not even opened: that alone can do something to it.
        _require_regular(os.stat(name, dir_fd=folder, follow_symlinks=False))
        file = io.FileIO(os.open(name, TO_READ, dir_fd=folder))
    finally:
        os.close(folder)
    return _checked(file, path, number, below)


def _checked(file: io.FileIO, path: bytes, number: int, below: bytes) -> OpenFile:
    """What was opened, if it is a regular file as well: it may not be what was looked at."""
    try:
        now = os.fstat(file.fileno())
        _require_regular(now)
    except BaseException:
        file.close()
        raise
    return OpenFile(file, now.st_size, now.st_mtime_ns, now.st_ino, path, number, below)


def _require_regular(seen: os.stat_result) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise PathNotAllowed("What lies there is no regular file.")


def _raise_ours(error: OSError) -> NoReturn:
    if error.errno in ABSENT:
        raise NotFound("There is no such file any more.") from error
    if error.errno in SWAPPED:
        raise PathNotAllowed("The file was replaced while it was opened, or its links lead in a circle.") from error
    if error.errno in DENIED:
        raise PathNotAllowed("Darkroom's user may not read this file.") from error
    raise Unavailable(f"The file cannot be read: {error.strerror}.", retry_after_s=RETRY_AFTER_S) from error
