"""One attempt at a job, top to bottom, and the one place where what went wrong becomes a job's end."""

import asyncio
import contextlib
import random
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from schemas.errors import BrowserLost, Cancelled, DeadlineExceeded, LeaseLost, ServiceError, SiteBusy, Unavailable
from schemas.jobs.job import Job, Progress
from stores import Stores
from workers.browsers.pool import BrowserPool
from workers.images import convert
from workers.jobs.attempt import Attempt, FailureCapture, WorkerStopping
from workers.jobs.progress_throttle import throttle
from workers.jobs.tracing import TraceRecorder
from workers.sites.driver.driver import Driver

RETRY_DELAYS_MS = (2_000, 8_000)
LEASE_RENEWAL_INTERVAL_S = 10.0
MAX_EARLY_CANCELLATIONS = 1000
OUTAGE_RETRY_INTERVAL_S = 0.5
OUTAGE_TIMEOUT_S = 60.0
P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Runner:
    """The attempts of one worker."""

    def __init__(self, stores: Stores, browsers: BrowserPool, worker_id: str) -> None:
        """``worker`` is the id under which leases are held."""
        self._stores = stores
        self._browsers = browsers
        self._worker_id = worker_id
        self._deadline_s = stores.settings.job_deadline_s
        self._attempts: dict[str, Attempt] = {}
        self._early_cancellations: deque[str] = deque(maxlen=MAX_EARLY_CANCELLATIONS)
        self._last_matched: dict[str, dict[str, str]] = {}
        self._stopping = False

    @property
    def running_jobs(self) -> int:
        """How many jobs are in hand."""
        return len(self._attempts)

    async def run(self) -> None:
        """Make one attempt at the next job, if there is one; every outcome is written to its record."""
        job = await self._claim()
        if job is None:
            return
        site = job.request.site
        with bound_contextvars(job_id=job.id, attempt=job.attempt, site=site, request_id=job.request_id):
            log.info("job.started")
            log.debug("job.prompt", prompt=job.request.prompt)
            with self._track_attempt(job) as attempt:
                await self._run_with_deadline(attempt)
            await self._refill_site(site)

    async def _claim(self) -> Job | None:
        """The next job; None if there is none, no browser for it, or no Redis. The ticket is spent in any case."""
        try:
            # A worker without a browser leaves the jobs to others, and would only fail one after another.
            await self._browsers.ensure_browser()
            async with asyncio.timeout(OUTAGE_TIMEOUT_S):
                # A Redis that hung may have given us a job after we had ceased to listen: the token finds it.
                return await self._retry_while_unavailable(
                    self._stores.attempts.claim, self._worker_id, secrets.token_hex(8)
                )
        except (BrowserLost, TimeoutError) as error:
            log.warning("claim.failed", error=str(error))
            await asyncio.sleep(OUTAGE_RETRY_INTERVAL_S)
            return None

    async def _refill_site(self, site: str) -> None:
        """A job of a site that takes few at a time has ended: tickets that found it full are gone, so send new ones."""
        if self._stores.recipes.get_limits(site).concurrency:
            with contextlib.suppress(Unavailable):
                await _run_in_thread(self._stores.wakeups.top_up)

    async def _run_with_deadline(self, attempt: Attempt) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._execute(attempt)
            log.info("job.completed")
        except asyncio.CancelledError:
            if attempt.interruption is None:
                raise
            await self._end(attempt, attempt.interruption)
        except TimeoutError:
            await self._end(attempt, DeadlineExceeded(f"It took longer than {self._deadline_s} s."))
        except ServiceError as error:
            await self._end(attempt, error)
        except Exception:
            log.exception("job.fault")
            await self._end(attempt, ServiceError())

    async def _execute(self, attempt: Attempt) -> None:
        job = attempt.job
        recipe = self._stores.recipes.get(job.request.site)
        await _run_in_thread(self._stores.accepted_terms.require, recipe)
        state = await _run_in_thread(self._stores.credentials.load, recipe)
        lost = partial(attempt.interrupt, BrowserLost())
        async with self._browsers.lease(lost, recipe.direct_hosts, state) as context:
            site = Driver(context, recipe)
            # A trace holds cookies: none of a login.
            tracing = TraceRecorder(context, enabled=job.retries > 0 and state is None)
            async with FailureCapture(attempt, site, tracing, self._end):
                await site.open(job.request)
                await site.submit()
                await self._retry_while_unavailable(self._stores.attempts.mark_accepted, job)
                async for shown in throttle(site.watch()):
                    await self._record_update(job, shown)
                painted = await site.collect_images()
                jpeg = await _run_in_thread(convert.convert, painted[0].data, "jpg")
                await self._retry_while_unavailable(self._stores.attempts.store_images, job, painted, jpeg)
                await self._retry_while_unavailable(self._stores.attempts.complete, job, painted)
            attempt.close()
        await self._record_drift(recipe.name, site.matched_selectors)

    async def _record_update(self, job: Job, shown: Progress | bytes) -> None:
        try:
            if isinstance(shown, Progress):
                await _run_in_thread(self._stores.attempts.record_progress, job, shown)
            elif await _run_in_thread(convert.is_preview_jpeg, shown):
                await _run_in_thread(self._stores.attempts.record_preview, job, shown)
        except Unavailable as error:
            log.warning("note.lost", error=error.message)

    async def _retry_while_unavailable(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write again and again while Redis is away: work that is done is not thrown away for an outage."""
        while True:
            try:
                return await _run_in_thread(write, *args, **kwargs)
            except Unavailable as error:
                log.warning("write.waits", error=error.message)
                await asyncio.sleep(OUTAGE_RETRY_INTERVAL_S)

    async def _end(self, attempt: Attempt, error: ServiceError) -> None:
        """Write down how an attempt that went wrong ends: given back, tried again, or failed."""
        attempt.close()
        if attempt.written:
            return
        attempt.written = True
        log.warning("job.stopped", code=error.code)
        # The page's own words may repeat the prompt.
        log.debug("job.reason", error=error.message)
        if isinstance(error, LeaseLost):
            return
        try:
            async with asyncio.timeout(OUTAGE_TIMEOUT_S):
                await self._write_end(attempt, error)
        except LeaseLost:
            log.warning("job.taken_over")
        except TimeoutError:
            # The lease runs out and another worker takes the job.
            log.exception("job.end_not_written")

    async def _write_end(self, attempt: Attempt, error: ServiceError) -> None:
        attempts, job = self._stores.attempts, attempt.job
        if attempt.trace:
            await self._retry_while_unavailable(attempts.store_trace, job, attempt.trace)
        if isinstance(error, WorkerStopping):
            await self._retry_while_unavailable(attempts.release, job, error)
            return
        pause_ms = await self._back_off_site(job.request.site, error)
        if error.retryable and job.retries < len(RETRY_DELAYS_MS):
            delay_ms = max(_delay_ms(job.retries), pause_ms)
            await self._retry_while_unavailable(attempts.retry, job, error, delay_ms, attempt.failure_report)
        else:
            await self._retry_while_unavailable(attempts.fail, job, error, attempt.failure_report)

    async def _back_off_site(self, site: str, error: ServiceError) -> int:
        """Milliseconds for which a site wants to be left alone, by all workers."""
        if not isinstance(error, SiteBusy):
            return 0
        pause_ms = 1000 * (error.retry_after_s or 0)
        await self._retry_while_unavailable(
            self._stores.circuit_breakers.pause, site, self._stores.clock.now_ms() + pause_ms
        )
        return pause_ms

    async def _record_drift(self, site: str, matched: dict[str, str]) -> None:
        """Say so if the page was found by other alternatives than the last time: it has begun to change."""
        if self._last_matched.get(site) == matched:
            return
        self._last_matched[site] = matched
        with contextlib.suppress(Unavailable):
            for change in await _run_in_thread(self._stores.selector_drift.record, site, matched):
                log.warning("site.drift", place=change.place, before=change.before, now=change.now)

    @contextmanager
    def _track_attempt(self, job: Job) -> Iterator[Attempt]:
        attempt = Attempt(job)
        self._attempts[job.id] = attempt
        # What was asked for between the claim and now reached nobody.
        if job.cancel_requested_at is not None or job.id in self._early_cancellations:
            attempt.interrupt(Cancelled())
        elif self._stopping:
            attempt.interrupt(WorkerStopping())
        try:
            yield attempt
        finally:
            attempt.close()
            del self._attempts[job.id]

    # Interruptions, called on the event loop

    def cancel(self, job_id: str) -> None:
        """Somebody asked for the job's end."""
        if attempt := self._attempts.get(job_id):
            attempt.interrupt(Cancelled())
        else:
            self._early_cancellations.append(job_id)

    def release_all(self) -> None:
        """The worker stops: give every job back, those too that are being claimed just now."""
        self._stopping = True
        for attempt in tuple(self._attempts.values()):
            attempt.interrupt(WorkerStopping())

    async def renew_forever(self) -> None:
        """Renew every lease in time, whatever the pages do."""
        while True:
            await asyncio.sleep(LEASE_RENEWAL_INTERVAL_S)
            await self.renew_all()

    async def renew_all(self) -> None:
        """Renew every lease once; what has been taken away or cancelled is interrupted."""
        for attempt in tuple(self._attempts.values()):
            try:
                if await _run_in_thread(self._stores.attempts.renew, attempt.job):
                    attempt.interrupt(Cancelled())
            except LeaseLost as error:
                attempt.interrupt(error)
            except Unavailable as error:
                log.warning("lease.not_renewed", job_id=attempt.job.id, error=error.message)


async def _run_in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work in a thread, so that the loop goes on for the other jobs."""
    return await asyncio.to_thread(work, *args, **kwargs)


def _delay_ms(retries: int) -> int:
    return round(RETRY_DELAYS_MS[retries] * random.uniform(0.8, 1.2))
