"""A circuit breaker for calls of one process to a service that may stall."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ops.infra.clock import Clock


class CircuitBreaker:
    """Open for ``pause_ms`` after a failure; then one call at a time probes the service until one succeeds."""

    def __init__(self, clock: Clock, pause_ms: int, may_probe: Callable[[], bool] = lambda: True) -> None:
        self._clock = clock
        self._pause_ms = pause_ms
        self._may_probe = may_probe
        self._lock = threading.Lock()
        self._closes_at = 0
        self._is_probing = False

    def wait_ms(self) -> int:
        """Return 0 if the caller may call the service now, else how long the circuit stays open.

        A caller that may must report the outcome by ``succeed`` or ``fail``, within ``call``.
        """
        with self._lock:
            if not self._closes_at:
                return 0
            now_ms = self._clock.now_ms()
            if now_ms < self._closes_at:
                return self._closes_at - now_ms
            if not self._may_probe():
                return self._pause_ms
            # The others wait for this probe.
            self._closes_at, self._is_probing = now_ms + self._pause_ms, True
            return 0

    def succeed(self) -> None:
        """Close the circuit."""
        with self._lock:
            self._closes_at, self._is_probing = 0, False

    @contextmanager
    def call(self) -> Iterator[None]:
        """Give the turn to probe the service to the next caller, if an exception ends this call without an outcome."""
        try:
            yield
        except BaseException:
            with self._lock:
                if self._is_probing:
                    self._closes_at, self._is_probing = self._clock.now_ms(), False
            raise

    def fail(self) -> None:
        """Open the circuit."""
        with self._lock:
            self._closes_at, self._is_probing = self._clock.now_ms() + self._pause_ms, False
