"""Files with one secret each, which only their owner can read and which are made on first use."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def read_or_create(path: Path, create: Callable[[], str]) -> str:
    """What the file holds; what ``make`` returns if there was none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return _create(path, create())


def replace(path: Path, text: str) -> None:
    """Put another secret in the place of the one before: whoever reads meanwhile gets the one or the other, whole."""
    draft = _write_temp_file(path, text)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink()
        raise
    _fsync_dir(path.parent)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Keep everybody else of this machine out until the block ends, however it ends.

    Raises:
        BlockingIOError: somebody is in.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _create(path: Path, text: str) -> str:
    draft = _write_temp_file(path, text)
    try:
        # A link fails where the file exists: of two processes that start together one makes it, both use it.
        path.hardlink_to(draft)
    except FileExistsError:
        return path.read_text()
    finally:
        draft.unlink()
    _fsync_dir(path.parent)
    return text


def _write_temp_file(path: Path, text: str) -> Path:
    """A new file beside ``path``, on the disk and for its owner only from its first moment on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink()
        raise
    return draft


def _fsync_dir(folder: Path) -> None:
    """Bring the folder's names to the disk: a secret that is over must not come back with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
