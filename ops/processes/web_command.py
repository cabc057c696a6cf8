"""The gunicorn command that serves a WSGI application, with the sockets it needs."""

import resource
import socket
import sys
from pathlib import Path

from ops.infra.settings import Settings

CONNECTIONS_PER_PROCESS = 20_000
KEEP_ALIVE_S = 75
BACKLOG = 2048
# The most that gunicorn takes: a prompt of 4,000 plain characters fits; others are sent by POST.
MAX_REQUEST_LINE_BYTES = 8190


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def raise_open_files_limit() -> None:
    """Let this process and its children open as many files as the system allows: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS_PER_PROCESS
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def gunicorn_command(settings: Settings, application: str) -> list[str]:
    """The command that serves a WSGI application as the front is served."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    options = {
        "bind": f"{host}:{settings.port}",
        "workers": settings.web_concurrency,
        "worker-class": "ops.processes.gunicorn_worker.FrontWorker",
        "worker-connections": CONNECTIONS_PER_PROCESS,
        "keep-alive": KEEP_ALIVE_S,
        "backlog": BACKLOG,
        "graceful-timeout": 5,
        "limit-request-line": MAX_REQUEST_LINE_BYTES,
        "log-level": "error",
        "worker-tmp-dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 - gunicorn makes its own file there
    }
    words = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return [sys.executable, "-m", "gunicorn", *words, "--no-control-socket", application]
