"""Opens files below the library's roots, and never a file outside of them, whatever paths and links say.

The path is resolved first and then walked from its root folder by folder without following links, so that a link that
is put there between check and open (TOCTOU) is refused.
"""

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

OPEN_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe would otherwise wait for a writer.
OPEN_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NOT_FOUND_ERRNOS = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
# The errors of opening if a link or a pipe has replaced a file or folder.
REPLACED_ERRNOS = (errno.ELOOP, errno.EINVAL, errno.ENXIO)
DENIED_ERRNOS = (errno.EACCES, errno.EPERM)
RETRY_AFTER_S = 5


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file inside a root, open for reading; a context manager that closes it.

    ``path`` is absolute and contains no links. ``relative_path`` is relative to the root with number ``root_index``.
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
        """The file descriptor. Raises ValueError once closed: the number may be another file's by then."""
        return self.file.fileno()

    def is_unchanged(self) -> bool:
        """Whether size and modification time are still as they were when the file was opened."""
        now = os.fstat(self.fd)
        return (now.st_size, now.st_mtime_ns) == (self.size_bytes, self.mtime_ns)

    def close(self) -> None:
        """Close the file; safe to call again."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_within(root: Path, relative: bytes, roots: Sequence[Path]) -> OpenFile:
    """Open the file at ``relative`` below ``root``, which is one of ``roots``; links may lead into any of ``roots``.

    Raises:
        PathNotAllowed: outside all roots, not a regular file, replaced meanwhile, or not readable by this user.
        NotFound: there is no such file.
        Unavailable: the disk fails, or this process has too many open files.
    """
    if relative.startswith(b"/") or b".." in relative.split(b"/"):
        raise PathNotAllowed("The path leads out of the library.")
    try:
        path = os.path.realpath(os.path.join(os.fsencode(root), relative), strict=True)  # noqa: PTH118 - bytes
        return _open_resolved(path, roots)
    except ValueError as error:
        raise NotFound("No such file: the name contains a zero byte.") from error
    except OSError as error:
        _raise_service_error(error)


def open_indexed(root: str | None, path: bytes | None, roots: Sequence[Path]) -> OpenFile:
    """Open a file at the root and path that the index has for it; raises as ``open_within``.

    Raises:
        NotFound: also if ``root`` is not one of ``roots``, because MODELS_DIR has changed since the last scan.
    """
    folder = next((each for each in roots if str(each) == root), None)
    if folder is None or path is None:
        raise NotFound("The file's folder is not one of MODELS_DIR any more.")
    return open_within(folder, path, roots)


def _open_resolved(path: bytes, roots: Sequence[Path]) -> OpenFile:
    """Open an absolute path without links; a link that is met on the way was put there since it was resolved."""
    root_index, base = _root_of(path, roots)
    relative_path = path.removeprefix(base)
    *folders, name = relative_path.split(b"/")
    folder = os.open(base, OPEN_FOLDER_FLAGS)
    try:
        for part in folders:
            inner = os.open(part, OPEN_FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Checked before opening: opening a device can have side effects.
        _require_regular(os.stat(name, dir_fd=folder, follow_symlinks=False))
        file = io.FileIO(os.open(name, OPEN_FILE_FLAGS, dir_fd=folder))
    finally:
        os.close(folder)
    try:
        # Checked again: it may have been replaced between stat and open.
        now = os.fstat(file.fileno())
        _require_regular(now)
    except BaseException:
        file.close()
        raise
    return OpenFile(file, now.st_size, now.st_mtime_ns, now.st_ino, path, root_index, relative_path)


def _root_of(path: bytes, roots: Sequence[Path]) -> tuple[int, bytes]:
    """Return the index of the root that a resolved path is in, and that root, resolved, with a trailing slash."""
    for index, root in enumerate(roots):
        base = os.path.realpath(os.fsencode(root)).rstrip(b"/") + b"/"
        if path.startswith(base):
            return index, base
    raise PathNotAllowed("The path leads out of the library through a link.")


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PathNotAllowed("This is not a regular file.")


def _raise_service_error(error: OSError) -> NoReturn:
    if error.errno in NOT_FOUND_ERRNOS:
        raise NotFound("There is no such file any more.") from error
    if error.errno in REPLACED_ERRNOS:
        raise PathNotAllowed("The file was replaced while it was opened, or its links form a loop.") from error
    if error.errno in DENIED_ERRNOS:
        raise PathNotAllowed("Darkroom's user has no permission to read this file.") from error
    raise Unavailable(f"The file cannot be read: {error.strerror}.", retry_after_s=RETRY_AFTER_S) from error
