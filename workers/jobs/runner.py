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
from workers.jobs.attempt import Attempt, Collecting, Stopping
from workers.jobs.progress_throttle import paced
from workers.jobs.tracing import Tracing
from workers.sites.driver.driver import Driver

RETRY_DELAYS_MS = (2_000, 8_000)
RENEW_INTERVAL_S = 10.0
CANCELS_REMEMBERED = 1000
OUTAGE_PAUSE_S = 0.5
OUTAGE_PATIENCE_S = 60.0
P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Runner:
    """The attempts of one worker."""

    def __init__(self, stores: Stores, browsers: BrowserPool, worker: str) -> None:
        """``worker`` is the id under which leases are held."""
        self._stores = stores
        self._browsers = browsers
        self._worker = worker
        self._deadline_s = stores.settings.job_deadline_s
        self._attempts: dict[str, Attempt] = {}
        self._unheard: deque[str] = deque(maxlen=CANCELS_REMEMBERED)
        self._matched: dict[str, dict[str, str]] = {}
        self._stopping = False

    @property
    def running(self) -> int:
        """How many jobs are in hand."""
        return len(self._attempts)

    async def run(self) -> None:
        """Make one attempt at the next job, if there is one; every outcome is written to its record."""
        job = await self._claim()
        if job is None:
            return
        site = job.submission.site
        with bound_contextvars(job_id=job.id, attempt=job.attempt, site=site, request_id=job.request_id):
            log.info("job.started")
            log.debug("job.prompt", prompt=job.submission.prompt)
            with self._in_hand(job) as attempt:
                await self._carry_through(attempt)
            await self._hand_on(site)

    async def _claim(self) -> Job | None:
        """The next job; None if there is none, no browser for it, or no Redis. The ticket is spent in any case."""
        try:
            # A worker without a browser leaves the jobs to others, and would only fail one after another.
            await self._browsers.prepare()
            async with asyncio.timeout(OUTAGE_PATIENCE_S):
                # A Redis that hung may have given us a job after we had ceased to listen: the token finds it.
                return await self._insist(self._stores.attempts.claim, self._worker, secrets.token_hex(8))
        except (BrowserLost, TimeoutError) as error:
            log.warning("claim.failed", error=str(error))
            await asyncio.sleep(OUTAGE_PAUSE_S)
            return None

    async def _hand_on(self, site: str) -> None:
        """A job of a site that takes few at a time has ended: tickets that found it full are gone, so send new ones."""
        if self._stores.recipes.limits(site).concurrency:
            with contextlib.suppress(Unavailable):
                await _off_loop(self._stores.tickets.refill)

    async def _carry_through(self, attempt: Attempt) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._paint(attempt)
            log.info("job.completed")
        except asyncio.CancelledError:
            if attempt.reason is None:
                raise
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
        await _off_loop(self._stores.consents.require, recipe)
        state = await _off_loop(self._stores.sessions.state, recipe)
        lost = partial(attempt.interrupt, BrowserLost())
        async with self._browsers.lease(lost, recipe.direct_hosts, state) as context:
            site = Driver(context, recipe)
            # A trace holds cookies: none of a login.
            tracing = Tracing(context, wanted=job.retries > 0 and state is None)
            async with Collecting(attempt, site, tracing, self._end):
                await site.open(job.submission)
                await site.submit()
                await self._insist(self._stores.attempts.accepted, job)
                async for shown in paced(site.watch()):
                    await self._note(job, shown)
                painted = await site.collect()
                jpeg = await _off_loop(convert.convert, painted[0].data, "jpg")
                await self._insist(self._stores.attempts.put, job, painted, jpeg)
                await self._insist(self._stores.attempts.complete, job, painted)
            attempt.over()
        await self._compare(recipe.name, site.matched)

    async def _note(self, job: Job, shown: Progress | bytes) -> None:
        try:
            if isinstance(shown, Progress):
                await _off_loop(self._stores.attempts.note_progress, job, shown)
            elif await _off_loop(convert.is_small_jpeg, shown):
                await _off_loop(self._stores.attempts.note_preview, job, shown)
        except Unavailable as error:
            log.warning("note.lost", error=error.message)

    async def _insist(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Write again and again while Redis is away: work that is done is not thrown away for an outage."""
        while True:
            try:
                return await _off_loop(write, *args, **kwargs)
            except Unavailable as error:
                log.warning("write.waits", error=error.message)
                await asyncio.sleep(OUTAGE_PAUSE_S)

    async def _end(self, attempt: Attempt, error: ServiceError) -> None:
        """Write down how an attempt that went wrong ends: given back, tried again, or failed."""
        attempt.over()
        if attempt.written:
            return
        attempt.written = True
        log.warning("job.stopped", code=error.code)
        # The page's own words may repeat the prompt.
        log.debug("job.reason", error=error.message)
        if isinstance(error, LeaseLost):
            return
        try:
            async with asyncio.timeout(OUTAGE_PATIENCE_S):
                await self._write_end(attempt, error)
        except LeaseLost:
            log.warning("job.taken_over")
        except TimeoutError:
            # The lease runs out and another worker takes the job.
            log.exception("job.end_not_written")

    async def _write_end(self, attempt: Attempt, error: ServiceError) -> None:
        attempts, job = self._stores.attempts, attempt.job
        if attempt.trace:
            await self._insist(attempts.keep_trace, job, attempt.trace)
        if isinstance(error, Stopping):
            await self._insist(attempts.release, job, error)
            return
        pause_ms = await self._leave_alone(job.submission.site, error)
        if error.retryable and job.retries < len(RETRY_DELAYS_MS):
            delay_ms = max(_delay_ms(job.retries), pause_ms)
            await self._insist(attempts.retry, job, error, delay_ms, attempt.evidence)
        else:
            await self._insist(attempts.fail, job, error, attempt.evidence)

    async def _leave_alone(self, site: str, error: ServiceError) -> int:
        """Milliseconds for which a site wants to be left alone, by all workers."""
        if not isinstance(error, SiteBusy):
            return 0
        pause_ms = 1000 * (error.retry_after_s or 0)
        await self._insist(self._stores.circuits.pause, site, self._stores.clock.now_ms() + pause_ms)
        return pause_ms

    async def _compare(self, site: str, matched: dict[str, str]) -> None:
        """Say so if the page was found by other alternatives than the last time: it has begun to change."""
        if self._matched.get(site) == matched:
            return
        self._matched[site] = matched
        with contextlib.suppress(Unavailable):
            for change in await _off_loop(self._stores.drift.note, site, matched):
                log.warning("site.drift", place=change.place, before=change.before, now=change.now)

    @contextmanager
    def _in_hand(self, job: Job) -> Iterator[Attempt]:
        attempt = Attempt(job)
        self._attempts[job.id] = attempt
        # What was asked for between the claim and now reached nobody.
        if job.cancel_requested_at is not None or job.id in self._unheard:
            attempt.interrupt(Cancelled())
        elif self._stopping:
            attempt.interrupt(Stopping())
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
        else:
            self._unheard.append(job_id)

    def release_all(self) -> None:
        """The worker stops: give every job back, those too that are being claimed just now."""
        self._stopping = True
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
                if await _off_loop(self._stores.attempts.renew, attempt.job):
                    attempt.interrupt(Cancelled())
            except LeaseLost as error:
                attempt.interrupt(error)
            except Unavailable as error:
                log.warning("lease.not_renewed", job_id=attempt.job.id, error=error.message)


async def _off_loop(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work in a thread, so that the loop goes on for the other jobs."""
    return await asyncio.to_thread(work, *args, **kwargs)


def _delay_ms(retries: int) -> int:
    return round(RETRY_DELAYS_MS[retries] * random.uniform(0.8, 1.2))
