"""Process 1 of a container: it adopts the orphans of all other processes and must reap them.

A browser that ends leaves about six helper processes behind. In a container without an init they are handed to the
command of the container, which waits only for children that it started itself, so they stay as zombies until no further
process can be started.
"""

import contextlib
import os
import signal

FORWARDED_SIGNALS = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH}
)
SIGNALLED_EXIT_CODE = 128


def run_below_init() -> None:
    """Return at once, but if this process is process 1, return in a child of it.

    Process 1 then passes signals on to the child, reaps what it adopts, and exits with the exit code of the child. It
    has no other children of its own, so it takes no exit code from a process that waits for it. Call this before any
    thread is started.
    """
    if os.getpid() == 1:
        start_child()


def start_child() -> None:
    """Return in a child process; this process serves it until it ends, and then exits."""
    signals = FORWARDED_SIGNALS | {signal.SIGCHLD}
    # Blocked signals wait for sigwait, also those that arrive before the child exists.
    blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
        return
    # Before the first wait, because children adopted earlier send no signal.
    while (exit_code := _reap_all(child)) is None:
        number = signal.sigwait(signals)
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
    # Not sys.exit: buffers and exit handlers are the child's.
    os._exit(exit_code)


def _reap_all(child: int) -> int | None:
    """Reap every dead process; return the exit code of ``child`` if it is one of them."""
    exit_code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return exit_code
        if pid == 0:
            return exit_code
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            exit_code = code if code >= 0 else SIGNALLED_EXIT_CODE - code
