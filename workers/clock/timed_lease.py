"""A lease in SQL that is asked for without waiting for a database that hangs."""

import contextlib
from concurrent.futures import Future
from typing import Protocol

from ops.infra.blocking import start_thread
from schemas.errors import Unavailable

ANSWER_TIMEOUT_S = 1.5


class Lease(Protocol):
    """A lease as ``workers.library.leader_lock`` has it."""

    def acquire(self) -> bool:
        """Acquire or renew the lease."""

    def release(self) -> None:
        """End the lease."""


class TimedLease:
    """A lease whose calls get ``limit_s``; one that has not returned by then is not made again before it has."""

    def __init__(self, lease: Lease, limit_s: float = ANSWER_TIMEOUT_S) -> None:
        self._lease = lease
        self._limit_s = limit_s
        self._pending: Future[bool] | None = None

    def acquire(self) -> bool:
        """Acquire or renew the lease; return whether this process holds it.

        Raises:
            Unavailable: the database does not answer, or has not yet.
        """
        limit_s = 0.0
        if self._pending is None:
            self._pending, limit_s = start_thread(self._lease.acquire), self._limit_s
        pending = self._pending
        with contextlib.suppress(TimeoutError):
            pending.exception(limit_s)
        if not pending.done():
            raise Unavailable("The database has not answered yet.")
        self._pending = None
        return pending.result()

    def release(self) -> None:
        """End the lease, unless the database hangs: then it expires."""
        if self._pending is None:
            with contextlib.suppress(TimeoutError):
                start_thread(self._lease.release).result(self._limit_s)
