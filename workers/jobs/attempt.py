"""One attempt at a job: its task, what interrupts it, and what must be done before its page closes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from schemas.errors import BrowserLost, Cancelled, LeaseLost, ServiceError
from schemas.jobs.job import Job
from workers.jobs.tracing import Tracing
from workers.sites.driver.driver import Driver


class Stopping(ServiceError):
    """The worker stops and gives the job back."""

    code = "worker_stopping"
    retryable = True


class Attempt:
    """A job in hand: the task that works on it, and why it was interrupted, if it was."""

    def __init__(self, job: Job) -> None:
        """To be made inside the task that works on the job."""
        self.job = job
        self.reason: ServiceError | None = None
        self.evidence: dict[str, Any] | None = None
        self.trace: bytes | None = None
        self.written = False
        self._task = asyncio.current_task()
        self._over = False

    def interrupt(self, reason: ServiceError) -> None:
        """End the work on the job with ``reason``; the first reason counts."""
        if self._task and not self._over and self.reason is None:
            self.reason = reason
            self._task.cancel()

    def over(self) -> None:
        """The work has ended: an interruption comes too late."""
        self._over = True
        if self.reason and self._task:
            self._task.uncancel()


class Collecting:
    """Does what must be done before the page's context is closed, if the block inside fails.

    A cancelled job, and one that is given back, ends at once: a page that does not want to close holds up neither. Of
    other failures the page's evidence is taken.
    """

    def __init__(
        self, attempt: Attempt, site: Driver, tracing: Tracing, end: Callable[[Attempt, ServiceError], Awaitable[None]]
    ) -> None:
        """``end`` writes the attempt's end."""
        self._attempt = attempt
        self._site = site
        self._tracing = tracing
        self._end = end

    async def __aenter__(self) -> None:
        """Nothing has failed yet."""
        await self._tracing.start()

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(self._attempt.reason, Cancelled | Stopping):
            await self._end(self._attempt, self._attempt.reason)
            return
        # Without a reason it is the deadline that ends the work, and a page that hangs is worth a look.
        hangs = isinstance(error, asyncio.CancelledError) and self._attempt.reason is None
        fails = isinstance(error, ServiceError) and not isinstance(error, BrowserLost | LeaseLost)
        if hangs or fails:
            self._attempt.evidence = await self._site.evidence()
            self._attempt.trace = await self._tracing.stop()
