"""Entry point of the processes behind the queue: ``python -m workers.main worker|background|clock``.

Runs Dramatiq in this process instead of through its command line, so that start, drain and shutdown are under control.
On SIGTERM or SIGINT a process stops taking messages and finishes what is running, for at most DRAIN_GRACE_S. After
that a worker returns its unfinished jobs to the queue, or as soon as its browser is lost: Heroku, systemd and Ctrl-C
send the signal to the browser too.
"""

import importlib
import sys

from ops.infra.browser_install import BrowserNotFoundError
from ops.infra.files.private_files import set_private_umask
from ops.infra.logging import configure_logging, log_uncaught_exceptions
from ops.infra.redis_check import check_redis
from ops.infra.settings import SettingsError, load_settings
from ops.processes.code_loading import paused_collections
from ops.processes.init_process import run_below_init
from ops.processes.stopping.stop_limit import warn_of_stop_limit
from ops.processes.supervisor import await_start
from ops.processes.tracing import configure_tracing

SETTINGS_EXIT_CODE = 2
# Imported on use, because each role needs a part of the code. "courier" is the old name of "background"; it remains
# for one release.
ROLES = {
    "worker": ("workers.roles.worker", "run_worker"),
    "background": ("workers.roles.background", "run_background"),
    "courier": ("workers.roles.background", "run_background"),
    "clock": ("workers.roles.clock", "run_clock"),
}


def main(role: str) -> int:
    """Run one of the roles. Return exit code 2 on an invalid setting or a missing browser."""
    set_private_umask()
    module, function = ROLES[role]
    with paused_collections():
        run = getattr(importlib.import_module(module), function)
    await_start()
    try:
        settings = load_settings()
        configure_logging(role, level=settings.log_level, style=settings.log_format, secrets=[settings.api_key])
        log_uncaught_exceptions()
        configure_tracing(role)
        check_redis(settings)
        if role != "clock":
            warn_of_stop_limit(settings)
        run(settings)
    except (SettingsError, BrowserNotFoundError) as error:
        sys.stderr.write(f"darkroom {role}: {error}\n")
        return SETTINGS_EXIT_CODE
    return 0


if __name__ == "__main__":
    run_below_init()
    sys.exit(main(sys.argv[1]))
