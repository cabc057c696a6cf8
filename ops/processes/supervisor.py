"""A supervisor of child processes: starts them, restarts dead ones with a growing delay, stops them in order.

Children die with the supervisor, even when it is killed (see ``parent_death``).

Processes of this project can be started behind a gate (``StartGate``): they load their code, which takes most of the
time of a start, and then wait. Meanwhile the supervisor checks the settings, and reports what is wrong with them once,
instead of one report from each process.
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from ops.processes.stopping.parent_death import set_parent_death_signal

MIN_RESTART_DELAY_S = 0.5
MAX_RESTART_DELAY_S = 30.0
HEALTHY_AFTER_S = 30.0
STOP_TIMEOUT_S = 7.0
STOP_LAST_TIMEOUT_S = 1.5
POLL_INTERVAL_S = 0.05
GATE_VARIABLE = "DARKROOM_START_GATE"

log = structlog.get_logger(__name__)


class StartGate:
    """The supervisor's side: a pipe whose end of file is the sign to go on."""

    def __init__(self) -> None:
        self.descriptor, self._closed_end = os.pipe()
        self.is_open = False

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which a process finds the gate, besides the descriptor."""
        return {GATE_VARIABLE: str(self.descriptor)}

    def open(self) -> None:
        """Open the gate for every process, now and later."""
        if not self.is_open:
            self.is_open = True
            os.close(self._closed_end)


def is_gated() -> bool:
    """Whether the process that started this one checks the settings itself."""
    return GATE_VARIABLE in os.environ


def await_start() -> None:
    """Wait at the gate, if there is one."""
    descriptor = os.environ.pop(GATE_VARIABLE, "")
    # Without its supervisor this process is killed.
    with contextlib.suppress(OSError, ValueError):
        # Unlike a read of a pipe, this lets greenlets run, where there are some.
        select.select([int(descriptor)], [], [])
        os.close(int(descriptor))


@dataclass(frozen=True, slots=True)
class Program:
    """A command to run.

    Programs with ``stop_last`` are stopped after all others. ``death_signal`` is sent if the supervisor dies.
    """

    name: str
    command: list[str]
    stop_last: bool = False
    death_signal: signal.Signals = signal.SIGKILL


@dataclass(slots=True)
class Child:
    """A program and its current process; ``started_at`` and ``restart_at`` are ``time.monotonic`` values."""

    program: Program
    process: subprocess.Popen[bytes]
    started_at: float
    delay_s: float = MIN_RESTART_DELAY_S
    restart_at: float | None = field(default=None)


class Supervisor:
    """The child processes of this process. Use it from the main thread only."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        gate: StartGate | None = None,
        max_restart_delay_s: float = MAX_RESTART_DELAY_S,
    ) -> None:
        """``environment`` is that of every child; programs of this project wait at the ``gate``."""
        self.environment = dict(environment)
        self._gate = gate
        self._max_restart_delay_s = max_restart_delay_s
        self._children: list[Child] = []

    def start(self, program: Program) -> None:
        """Start a program; ``restart_dead`` keeps it running."""
        self._children.append(Child(program, self._spawn(program), time.monotonic()))

    def pid(self, name: str) -> int:
        """Return the process id of a program's current process."""
        return next(child.process.pid for child in self._children if child.program.name == name)

    def exit_codes(self) -> dict[str, int]:
        """Return the exit codes of dead programs by name (negative: the number of the signal)."""
        codes = {child.program.name: child.process.poll() for child in self._children}
        return {name: code for name, code in codes.items() if code is not None}

    def restart_dead(self) -> None:
        """Restart dead programs whose delay is over; call it periodically.

        The delay doubles while a program keeps dying and is reset once it has run for ``HEALTHY_AFTER_S``.
        """
        now = time.monotonic()
        for child in self._children:
            code = child.process.poll()
            if code is None:
                continue
            if child.restart_at is None:
                self._schedule_restart(child, code, now)
            elif now >= child.restart_at:
                child.restart_at = None
                child.started_at = now
                child.process = self._spawn(child.program)
                log.info("process.started_again", name=child.program.name, pid=child.process.pid)

    def _schedule_restart(self, child: Child, code: int, now: float) -> None:
        was_healthy = now - child.started_at >= HEALTHY_AFTER_S
        child.delay_s = MIN_RESTART_DELAY_S if was_healthy else min(child.delay_s * 2, self._max_restart_delay_s)
        child.restart_at = now + child.delay_s
        log.error("process.died", name=child.program.name, exit_code=code, again_in_s=child.delay_s)

    def stop(self) -> None:
        """Stop all children: SIGTERM, wait, then SIGKILL. Returns when no child is left."""
        first = [child.process for child in self._children if not child.program.stop_last]
        last = [child.process for child in self._children if child.program.stop_last]
        # Behind a closed gate they have done nothing yet, and wait for nothing else.
        is_closed = self._gate is not None and not self._gate.is_open
        _stop(first, 0 if is_closed else STOP_TIMEOUT_S)
        _stop(last, STOP_LAST_TIMEOUT_S)
        self._children.clear()

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches only this process, which then stops the children in order.
        return subprocess.Popen(
            program.command,
            env=self.environment | (self._gate.environment if self._gate else {}),
            pass_fds=(self._gate.descriptor,) if self._gate else (),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=set_parent_death_signal(program.death_signal),  # noqa: PLW1509 - this process has one thread
        )


def _stop(processes: list[subprocess.Popen[bytes]], timeout_s: float) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(process.poll() is None for process in processes):
        time.sleep(POLL_INTERVAL_S)
    for process in processes:
        if process.poll() is None:
            _kill_session(process)
        process.wait()


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
