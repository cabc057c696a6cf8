"""The file in the data folder with the address of the running Darkroom for other commands, and its lock."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ops.infra.files.atomic_write import write_atomically

INSTANCE_FILE = "running.json"
LOCK_FILE = "up.lock"


class AlreadyRunningError(Exception):
    """Another Darkroom uses this data folder."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A running Darkroom: the process id of its supervisor and its addresses."""

    pid: int
    url: str
    redis_url: str


@contextmanager
def single_instance(data_dir: Path) -> Iterator[None]:
    """Lock the data folder for this process until the block ends or the process dies.

    Raises:
        AlreadyRunningError: another process holds the lock.
    """
    with (data_dir / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            instance = read_instance(data_dir)
            where = f" at {instance.url} (process {instance.pid})" if instance else ""
            raise AlreadyRunningError(f"Darkroom already runs on {data_dir}{where}.") from error
        try:
            yield
        finally:
            (data_dir / INSTANCE_FILE).unlink(missing_ok=True)


def write_instance(data_dir: Path, instance: Instance) -> None:
    """Announce this Darkroom to other commands."""
    # The Redis URL may hold a password.
    write_atomically(data_dir / INSTANCE_FILE, json.dumps(asdict(instance)), mode=0o600)


def read_instance(data_dir: Path) -> Instance | None:
    """Return the Darkroom that runs on this data folder; None if there is none or its process is dead."""
    try:
        instance = Instance(**json.loads((data_dir / INSTANCE_FILE).read_text()))
        os.kill(instance.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return instance
