"""The note that a running Darkroom leaves in its data folder, so that other commands find it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

NOTE = "running.json"
LOCK = "up.lock"


class AlreadyRunningError(Exception):
    """Another Darkroom uses this data folder."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where the running Darkroom is."""

    pid: int
    url: str
    redis_url: str


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for this process; nobody else gets it until the block ends, however it ends.

    Raises:
        AlreadyRunningError: somebody holds it.
    """
    with (data_dir / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            note = read_note(data_dir)
            where = f" at {note.url} (process {note.pid})" if note else ""
            raise AlreadyRunningError(f"Darkroom already runs on {data_dir}{where}.") from error
        try:
            yield
        finally:
            (data_dir / NOTE).unlink(missing_ok=True)


def write_note(data_dir: Path, running: Running) -> None:
    """Tell others where this Darkroom is."""
    descriptor = os.open(data_dir / NOTE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(running), file)


def read_note(data_dir: Path) -> Running | None:
    """The Darkroom that runs on this data folder, if its process lives."""
    try:
        running = Running(**json.loads((data_dir / NOTE).read_text()))
        os.kill(running.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return running
