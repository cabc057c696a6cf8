"""The bond between a process and its parent: the child is signalled when the parent dies, however it dies."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def set_parent_death_signal(death_signal: signal.Signals) -> Callable[[], None]:
    """Something to run in a child before it becomes its program: ask the kernel for a signal when the parent ends."""
    parent = os.getpid()

    def ask() -> None:
        if _libc is None:
            return
        _libc.prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            # The parent died between the fork and this line.
            os._exit(1)

    return ask
