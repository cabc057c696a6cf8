"""The note that a running Darkroom leaves in its data folder, so that other commands find it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

INSTANCE_FILE = "running.json"
LOCK_FILE = "up.lock"


class AlreadyRunningError(Exception):
    """Another Darkroom uses this data folder."""


@dataclass(frozen=True, slots=True)
class Instance:
    """Where the running Darkroom is."""

    pid: int
    url: str
    redis_url: str


@contextmanager
def single_instance(data_dir: Path) -> Iterator[None]:
    """Hold the data folder for this process; nobody else gets it until the block ends, however it ends.

    Raises:
        AlreadyRunningError: somebody holds it.
    """
    with (data_dir / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            note = read_instance(data_dir)
            where = f" at {note.url} (process {note.pid})" if note else ""
            raise AlreadyRunningError(f"Darkroom already runs on {data_dir}{where}.") from error
        try:
            yield
        finally:
            (data_dir / INSTANCE_FILE).unlink(missing_ok=True)


def write_instance(data_dir: Path, instance: Instance) -> None:
    """Tell others where this Darkroom is."""
    descriptor = os.open(data_dir / INSTANCE_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(instance), file)


def read_instance(data_dir: Path) -> Instance | None:
    """The Darkroom that runs on this data folder, if its process lives."""
    try:
        running = Instance(**json.loads((data_dir / INSTANCE_FILE).read_text()))
        os.kill(running.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return running
