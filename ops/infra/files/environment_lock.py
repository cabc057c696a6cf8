"""The lock on an environment of packages (``.venv``), which each process that runs from it shares.

What removes the environment needs the lock for itself. It is on ``pyvenv.cfg``, which every environment has and which
processes may lock that may not write there. Standard library only, because ``ops.bootstrap`` runs before any package is
installed.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

FILE = "pyvenv.cfg"
PROCESSES = Path("/proc")
SHOWN_PROCESSES = 5


def share_environment() -> None:
    """Share the lock of this process's environment until the process ends, also when it executes another program.

    Nothing happens without an environment, or while it is being removed.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(Path(sys.prefix) / FILE, os.O_RDONLY)
        fcntl.fcntl(descriptor, fcntl.F_SETFD, 0)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def lock_environment(folder: Path) -> bool:
    """Take the lock of an environment until this process ends; return False, at once, while others share it."""
    with contextlib.suppress(FileNotFoundError):
        # Network file systems give the lock only to those who may write.
        descriptor = os.open(folder / FILE, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
    return True


def describe_users(folder: Path) -> str:
    """Name the processes that share the lock of an environment, as far as the system tells: ``12 (up), 14 (web)``."""
    users = list(_users((folder / FILE).resolve()))
    if not users:
        # There is no /proc, or they are another user's.
        return "unknown ones, such as a running ./darkroom up"
    return ", ".join(users[:SHOWN_PROCESSES]) + (" and others" if len(users) > SHOWN_PROCESSES else "")


def _users(file: Path) -> Iterator[str]:
    for process in sorted((each for each in PROCESSES.glob("[0-9]*") if each.name != str(os.getpid())), key=_number):
        # Processes end meanwhile, and those of other users do not show their files.
        with contextlib.suppress(OSError):
            if any(_is_link_to(each, file) for each in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
                word = command[command.index("ops") + 1] if "ops" in command[:-1] else ""
                yield f"{process.name} ({word})" if word else process.name


def _number(process: Path) -> int:
    return int(process.name)


def _is_link_to(descriptor: Path, file: Path) -> bool:
    try:
        return descriptor.readlink() == file
    except OSError:
        return False
