"""The gunicorn command that serves a WSGI application, and the limits it needs."""

import random
import resource
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.infra.setting_parsers import url_host
from ops.infra.settings import Settings

CONNECTIONS_PER_PROCESS = 20_000
KEEP_ALIVE_S = 75
BACKLOG = 2048
# gunicorn's maximum: a prompt of 4,000 ASCII characters fits; longer ones must be sent by POST.
MAX_REQUEST_LINE_BYTES = 8190
LOOPBACK = "127.0.0.1"
# Above the ports that programs listen on by default, and those that browsers refuse, of which 10080 is the last.
MIN_FREE_PORT, MAX_PORT = 10_081, 65_535
MAX_PORT_TRIES = 1000
PORT_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# The range that other systems use, and IANA reserves.
DYNAMIC_PORTS = (49_152, 65_535)


def free_port() -> int:
    """Return a port of the loopback interface on which nothing listens, and which stays free for a server.

    It is outside the range from which the system takes the ports of outgoing connections, and no other process that
    calls this function gets it while this process lives.

    Raises:
        OSError: there is none.
    """
    ports, choose = _server_ports(), random.SystemRandom().choice
    for _ in range(MAX_PORT_TRIES):
        if _reserve(port := choose(ports)):
            return port
    raise OSError(f"{MAX_PORT_TRIES} ports of the loopback interface are taken")


def _server_ports() -> Sequence[int]:
    """Return the ports that the system gives to no outgoing connection; all from MIN_FREE_PORT on if there are none."""
    try:
        first, last = map(int, PORT_RANGE_FILE.read_text().split())
    except (OSError, ValueError):
        first, last = DYNAMIC_PORTS
    below, above = range(MIN_FREE_PORT, first), range(last + 1, MAX_PORT + 1)
    return max(below, above, key=len) or range(MIN_FREE_PORT, MAX_PORT + 1)


def _reserve(port: int) -> bool:
    # Datagrams have ports of their own: one that is bound keeps the number from others, until this process ends.
    reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket() as probe:
        # Connections that ended a moment ago are no obstacle; a server that listens is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            reservation.bind((LOOPBACK, port))
            probe.bind((LOOPBACK, port))
        except OSError:
            reservation.close()
            return False
    # Nothing refers to it, so that nothing closes it.
    reservation.detach()
    return True


def raise_open_files_limit() -> None:
    """Raise the limit of open files as far as the system allows, because each connection needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * CONNECTIONS_PER_PROCESS
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def gunicorn_command(settings: Settings, application: str) -> list[str]:
    """Return the command that serves ``application`` (``module:attribute``) with the settings of ``web``."""
    options = {
        "bind": f"{url_host(settings.host)}:{settings.port}",
        "workers": settings.web_concurrency,
        "worker-class": "ops.processes.gunicorn_worker.WebWorker",
        "worker-connections": CONNECTIONS_PER_PROCESS,
        "keep-alive": KEEP_ALIVE_S,
        "backlog": BACKLOG,
        "graceful-timeout": 5,
        "limit-request-line": MAX_REQUEST_LINE_BYTES,
        # By default SCRIPT_NAME and the scheme are taken from any client on this machine; see TRUSTED_PROXIES instead.
        "forwarded-allow-ips": "",
        "log-level": "error",
        "logger-class": "ops.processes.gunicorn_logger.GunicornLogger",
        "worker-tmp-dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 - gunicorn creates its own file there
    }
    args = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return [sys.executable, "-m", "gunicorn", *args, "--no-control-socket", application]
