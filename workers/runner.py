"""Owns one attempt at a job, top to bottom, and the one place where what went wrong becomes a job's end.

Called by ``workers.actors`` with a job's id; interrupted by cancellations, lost leases and lost browsers.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from schemas.errors import (
    BrowserLost,
    Cancelled,
    DeadlineExceeded,
    LeaseLost,
    ServiceError,
    Unavailable,
)
from schemas.jobs import Job, Progress
from stores import Stores
from workers import pictures
from workers.browsers import BrowserPool
from workers.sites.driver import Driver

MOST_ATTEMPTS = 3
RETRY_DELAYS_MS = (2_000, 8_000)
RENEW_INTERVAL_S = 10.0
P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


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


class Runner:
    """The attempts of one worker."""

    def __init__(self, stores: Stores, browsers: BrowserPool, worker: str) -> None:
        """``worker`` is the id under which leases are held."""
        self._stores = stores
        self._browsers = browsers
        self._worker = worker
        self._deadline_s = stores.settings.job_deadline_s
        self._attempts: dict[str, Attempt] = {}

    @property
    def running(self) -> int:
        """How many jobs are in hand."""
        return len(self._attempts)

    async def run(self, job_id: str) -> None:
        """Make one attempt at the job, if there is one to make; every outcome is written to its record."""
        job = await _off_loop(self._stores.jobs.claim, job_id, self._worker)
        if job is None:
            return
        site = job.submission.site
        with bound_contextvars(job_id=job.id, attempt=job.attempt, site=site, request_id=job.request_id):
            log.info("job.started")
            log.debug("job.prompt", prompt=job.submission.prompt)
            with self._in_hand(job) as attempt:
                await self._carry_through(attempt)

    async def _carry_through(self, attempt: Attempt) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._paint(attempt)
            log.info("job.completed")
        except asyncio.CancelledError:
            if attempt.reason is None:
                raise
            attempt.over()
            await self._end(attempt, attempt.reason)
        except TimeoutError:
            await self._end(attempt, DeadlineExceeded(f"It took longer than {self._deadline_s} s."))
        except ServiceError as error:
            await self._end(attempt, error)
        except Exception:
            log.exception("job.fault")
            await self._end(attempt, ServiceError())

    async def _paint(self, attempt: Attempt) -> None:
        job = attempt.job
        recipe = self._stores.recipes.get(job.submission.site)
        async with self._browsers.lease(lambda: attempt.interrupt(BrowserLost())) as context:
            site = Driver(context, recipe)
            async with _Collecting(attempt, site):
                await site.open(job.submission)
                await site.submit()
                await _off_loop(self._stores.jobs.accepted, job)
                async for shown in site.watch():
                    await self._note(job, shown)
                picture = await site.collect()
                jpeg = await _off_loop(pictures.convert, picture.data, "jpg")
                await _off_loop(self._stores.jobs.put, job, picture, jpeg)
                await _off_loop(self._stores.jobs.complete, job, picture)
            attempt.over()

    async def _note(self, job: Job, shown: Progress | bytes) -> None:
        if isinstance(shown, Progress):
            await _off_loop(self._stores.jobs.note_progress, job, shown)
        elif await _off_loop(pictures.is_small_jpeg, shown):
            await _off_loop(self._stores.jobs.note_preview, job, shown)

    async def _end(self, attempt: Attempt, error: ServiceError) -> None:
        """Write down how an attempt that went wrong ends: given back, tried again, or failed."""
        attempt.over()
        job = attempt.job
        log.warning("job.stopped", code=error.code)
        # The page's own words may repeat the prompt.
        log.debug("job.reason", error=error.message)
        try:
            if isinstance(error, LeaseLost):
                return
            if isinstance(error, Stopping):
                await _off_loop(self._stores.jobs.release, job, error)
            elif error.retryable and job.attempt < MOST_ATTEMPTS:
                await _off_loop(self._stores.jobs.retry, job, error, _delay_ms(job.attempt), attempt.evidence)
            else:
                await _off_loop(self._stores.jobs.fail, job, error, attempt.evidence)
        except LeaseLost:
            log.warning("job.taken_over")

    @contextmanager
    def _in_hand(self, job: Job) -> Iterator[Attempt]:
        attempt = Attempt(job)
        self._attempts[job.id] = attempt
        try:
            yield attempt
        finally:
            attempt.over()
            del self._attempts[job.id]

    # Interruptions, called on the event loop

    def cancel(self, job_id: str) -> None:
        """Somebody asked for the job's end."""
        if attempt := self._attempts.get(job_id):
            attempt.interrupt(Cancelled())

    def release_all(self) -> None:
        """The worker stops: give every job back."""
        for attempt in tuple(self._attempts.values()):
            attempt.interrupt(Stopping())

    async def renew_for_ever(self) -> None:
        """Renew every lease in time, whatever the pages do."""
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            await self.renew_all()

    async def renew_all(self) -> None:
        """Renew every lease once; what has been taken away or cancelled is interrupted."""
        for attempt in tuple(self._attempts.values()):
            try:
                if await _off_loop(self._stores.jobs.renew, attempt.job):
                    attempt.interrupt(Cancelled())
            except LeaseLost as error:
                attempt.interrupt(error)
            except Unavailable as error:
                log.warning("lease.not_renewed", job_id=attempt.job.id, error=error.message)


class _Collecting:
    """Takes the page's evidence before its context is closed, if the block inside fails."""

    def __init__(self, attempt: Attempt, site: Driver) -> None:
        self._attempt = attempt
        self._site = site

    async def __aenter__(self) -> None:
        """Nothing has failed yet."""

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        # Without a reason it is the deadline that ends the work, and a page that hangs is worth a look.
        hangs = isinstance(error, asyncio.CancelledError) and self._attempt.reason is None
        fails = isinstance(error, ServiceError) and not isinstance(error, BrowserLost | LeaseLost)
        if hangs or fails:
            self._attempt.evidence = await self._site.evidence()


async def _off_loop(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work in a thread, so that the loop goes on for the other jobs."""
    return await asyncio.to_thread(work, *args, **kwargs)


def _delay_ms(attempt: int) -> int:
    delay = RETRY_DELAYS_MS[min(attempt, len(RETRY_DELAYS_MS)) - 1]
    return round(delay * random.uniform(0.8, 1.2))
