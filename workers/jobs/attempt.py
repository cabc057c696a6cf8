"""One attempt at a job: its task, what interrupts it, and what must be done before its page closes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from schemas.errors import BrowserLost, Cancelled, LeaseLost, ServiceError
from schemas.jobs.job import Job
from workers.jobs.tracing import TraceRecorder
from workers.sites.driver.driver import Driver


class WorkerStopping(ServiceError):
    """The worker stops and gives the job back."""

    code = "worker_stopping"
    retryable = True


class Attempt:
    """A job in hand: the task that works on it, and why it was interrupted, if it was."""

    def __init__(self, job: Job) -> None:
        """To be made inside the task that works on the job."""
        self.job = job
        self.interruption: ServiceError | None = None
        self.failure_report: dict[str, Any] | None = None
        self.trace: bytes | None = None
        self.written = False
        self._task = asyncio.current_task()
        self._is_closed = False

    def interrupt(self, error: ServiceError) -> None:
        """End the work on the job with ``reason``; the first reason counts."""
        if self._task and not self._is_closed and self.interruption is None:
            self.interruption = error
            self._task.cancel()

    def close(self) -> None:
        """The work has ended: an interruption comes too late."""
        self._is_closed = True
        if self.interruption and self._task:
            self._task.uncancel()


class FailureCapture:
    """Does what must be done before the page's context is closed, if the block inside fails.

    A cancelled job, and one that is given back, ends at once: a page that does not want to close holds up neither. Of
    other failures the page's evidence is taken.
    """

    def __init__(
        self,
        attempt: Attempt,
        driver: Driver,
        trace_recorder: TraceRecorder,
        end: Callable[[Attempt, ServiceError], Awaitable[None]],
    ) -> None:
        """``end`` writes the attempt's end."""
        self._attempt = attempt
        self._driver = driver
        self._trace_recorder = trace_recorder
        self._end = end

    async def __aenter__(self) -> None:
        """Nothing has failed yet."""
        await self._trace_recorder.start()

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(self._attempt.interruption, Cancelled | WorkerStopping):
            await self._end(self._attempt, self._attempt.interruption)
            return
        # Without a reason it is the deadline that ends the work, and a page that hangs is worth a look.
        hangs = isinstance(error, asyncio.CancelledError) and self._attempt.interruption is None
        fails = isinstance(error, ServiceError) and not isinstance(error, BrowserLost | LeaseLost)
        if hangs or fails:
            self._attempt.failure_report = await self._driver.build_failure_report()
            self._attempt.trace = await self._trace_recorder.stop()
