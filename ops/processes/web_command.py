"""The gunicorn command that serves a WSGI application, and the limits it needs."""

import resource
import socket
import sys
from pathlib import Path

from ops.infra.setting_parsers import url_host
from ops.infra.settings import Settings

CONNECTIONS_PER_PROCESS = 20_000
KEEP_ALIVE_S = 75
BACKLOG = 2048
# gunicorn's maximum: a prompt of 4,000 ASCII characters fits; longer ones must be sent by POST.
MAX_REQUEST_LINE_BYTES = 8190


def free_port() -> int:
    """Return a port of the loopback interface that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
