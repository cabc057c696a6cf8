"""A signal to a child process when its parent dies (Linux ``PR_SET_PDEATHSIG``; does nothing elsewhere)."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def set_parent_death_signal(death_signal: signal.Signals) -> Callable[[], None]:
    """Return a ``preexec_fn`` that asks the kernel to send the child ``death_signal`` when this process dies."""
    parent = os.getpid()

    def request_signal() -> None:
        if _libc is None:
            return
        _libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            # The parent died between fork and prctl; no signal will come.
            os._exit(1)

    return request_signal
