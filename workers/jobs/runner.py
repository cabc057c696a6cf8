"""Claims jobs, executes one attempt at each, and writes the outcome of every attempt in one place.

An attempt is executed under a deadline and may be interrupted (cancellation, lost lease, dead browser, shutdown).
All writes are fenced by the attempt's claim token: an attempt that has lost its lease changes nothing.
"""

import asyncio
import contextlib
import random
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import ParamSpec, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from ops.processes.tracing import span
from schemas.errors import (
    BrowserLost,
    DeadlineExceeded,
    LeaseLost,
    NoPicture,
    PageFloods,
    ServiceError,
    SiteBusy,
    SiteChanged,
    SiteSlow,
    SiteUnavailable,
    Unavailable,
    WorkerStopping,
)
from schemas.images.input_images import InputFile
from schemas.jobs.job import GeneratedImage, Job, Progress
from stores import Stores
from stores.jobs.attempts import RETRY_DELAYS_MS
from workers.browsers.pool import BrowserPool
from workers.images import convert
from workers.images.pixels import DECODE_ERRORS
from workers.jobs.attempt import Attempt, Completed, Failed, Outcome
from workers.jobs.attempt_registry import AttemptRegistry
from workers.jobs.attempt_span import open_attempt_span
from workers.jobs.progress_throttle import Updates, throttle
from workers.jobs.site_access import authorize_visit
from workers.jobs.slot_pool import SlotPool
from workers.jobs.tracing import TraceRecorder
from workers.sites.driver.driver import Driver

OUTAGE_RETRY_INTERVAL_S = 0.5
OUTAGE_TIMEOUT_S = 60.0
# So long a claim keeps a slot for which other Redis servers may have jobs.
SHARED_CLAIM_TIMEOUT_S = 2.0
P = ParamSpec("P")
T = TypeVar("T")
# What gives back what a job holds that cannot be ended.
_on_outage: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar("on_outage", default=None)

log = structlog.get_logger(__name__)


class Runner:
    """Executes the jobs of one worker, which holds its leases under ``worker_id``."""

    def __init__(
        self,
        stores: Stores,
        browsers: BrowserPool,
        attempts: AttemptRegistry,
        worker_id: str,
        slots: SlotPool | None = None,
    ) -> None:
        """``slots`` are shared with the runners of other Redis servers; an outage of this one must not hold them."""
        self._slots = slots
        self._stores = stores
        self._browsers = browsers
        self._attempts = attempts
        self._worker_id = worker_id
        self._deadline_s = stores.settings.job_deadline_s
        self._last_matched: dict[str, dict[str, str]] = {}

    async def run(self) -> None:
        """Execute one attempt at the next job, if there is one, and write its outcome."""
        if self._slots is None:
            await self._run(lambda: None)
        else:
            async with self._slots.take() as slot:
                with self._freeing_on_outage(slot.release):
                    await self._run(slot.release)

    async def _run(self, release_slot: Callable[[], None]) -> None:
        asked_at_ms = self._stores.clock.now_ms()
        job = None if self._attempts.is_draining else await self._claim(release_slot)
        if job is None:
            return
        site = job.request.site
        with bound_contextvars(job_id=job.id, attempt=job.attempt, site=site, request_id=job.request_id):
            log.info("job.started")
            log.debug("job.prompt", prompt=job.request.prompt)
            # The span is opened first: what is awaited while the attempt is tracked may be interrupted.
            async with open_attempt_span(self._stores, job, asked_at_ms) as attempt_span:
                with self._attempts.track(job) as attempt:
                    # The stack closes the page after the outcome is written: a page that closes slowly delays no
                    # result.
                    async with AsyncExitStack() as open_page:
                        outcome = await self._run_with_deadline(attempt, open_page)
                        with self._freeing_on_outage(release_slot, open_page):
                            await self._write_outcome(job, outcome)
                    if isinstance(outcome, Completed):
                        await self._record_drift(site, outcome.matched_selectors)
                if isinstance(outcome, Failed):
                    attempt_span.fail(outcome.error.code)
            await self._top_up_wakeups(site)

    async def _claim(self, release_slot: Callable[[], None]) -> Job | None:
        """Claim the next job; None if there is no job, no browser, no Redis or no room on the disk."""
        if problem := self._stores.disk.last_problem:
            log.warning("claim.failed", error=problem)
            await asyncio.sleep(OUTAGE_RETRY_INTERVAL_S)
            return None
        try:
            # Without this check a worker whose browser does not start would fail one job after another.
            await self._browsers.ensure_browser()
            async with asyncio.timeout(OUTAGE_TIMEOUT_S):
                # A server that hangs executes the claim later: the slot is given up, but not the job that comes of it.
                with _calling_later(SHARED_CLAIM_TIMEOUT_S, release_slot):
                    return await self._claim_once_available()
        except (BrowserLost, TimeoutError) as error:
            log.warning("claim.failed", error=str(error))
            await asyncio.sleep(OUTAGE_RETRY_INTERVAL_S)
            return None

    async def _claim_once_available(self) -> Job | None:
        """Claim the next job, again while Redis is unavailable; a worker that stops tries once more."""
        # If the reply of a claim is lost, the next call with the same token returns the job it had claimed.
        token = secrets.token_hex(8)
        if self._attempts.is_draining:
            return None
        while True:
            is_last = self._attempts.is_draining
            try:
                job = await asyncio.to_thread(self._stores.attempts.claim, self._worker_id, token)
            except Unavailable as error:
                await _report_outage(error)
                if is_last:
                    return None
                await self._attempts.wait_for_draining(OUTAGE_RETRY_INTERVAL_S)
            else:
                break
        if job and is_last:
            with bound_contextvars(job_id=job.id):
                await self._write_outcome(job, Failed(WorkerStopping()))
            return None
        return job

    async def _top_up_wakeups(self, site: str) -> None:
        """Replace wakeups that workers consumed while the site had reached its concurrency limit."""
        if self._stores.recipes.get_limits(site).concurrency:
            with contextlib.suppress(Unavailable):
                await asyncio.to_thread(self._stores.wakeups.top_up)

    async def _run_with_deadline(self, attempt: Attempt, open_page: AsyncExitStack) -> Outcome:
        error: ServiceError
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._execute(attempt, open_page)
        except asyncio.CancelledError:
            if attempt.interruption is None:
                raise
            error = attempt.interruption
        except TimeoutError:
            error = DeadlineExceeded(f"The attempt took longer than {self._deadline_s} s.")
        except ServiceError as service_error:
            error = service_error
        except Exception:
            log.exception("job.fault")
            error = ServiceError()
        finally:
            attempt.close()
        if await self._is_caused_by_stop(error):
            return Failed(WorkerStopping())
        error.message = f"{error.message} {attempt.stop_note}".strip()
        return Failed(error, attempt.failure_report, attempt.trace)

    async def _is_caused_by_stop(self, error: ServiceError) -> bool:
        """Whether the browser ended together with this worker, by a signal to all of its processes."""
        if isinstance(error, BrowserLost):
            return await self._attempts.wait_for_draining()
        # A page that is cut off in the middle of a step looks like one that does not answer or has changed.
        is_disturbed = type(error) in (SiteUnavailable, SiteChanged, SiteSlow, NoPicture, ServiceError)
        return is_disturbed and self._attempts.is_draining and not self._browsers.is_ready

    async def _execute(self, attempt: Attempt, open_page: AsyncExitStack) -> Completed:
        """Drive the site's page until the images are stored; the page stays open until ``open_page`` closes it."""
        job = attempt.job
        recipe = self._stores.recipes.get(job.request.site)
        input_files = await self._retry_while_unavailable(self._stores.input_images.load, job, recipe)
        storage_state = await asyncio.to_thread(authorize_visit, self._stores, recipe)
        on_lost = partial(attempt.interrupt, BrowserLost())
        with span("browser.context"):
            context = await open_page.enter_async_context(
                self._browsers.lease(
                    on_lost, recipe.direct_hosts, storage_state, accepts_downloads=recipe.accepts_downloads
                )
            )
        driver = Driver(context, recipe, on_flood=attempt.interrupt)
        trace_recorder = TraceRecorder(context, enabled=job.retries > 0 and storage_state is None)
        await trace_recorder.start()
        try:
            images, media_keys = await self._generate(job, driver, input_files)
        except (ServiceError, asyncio.CancelledError) as error:
            # Cancelled without an interruption means that the deadline has passed: report what the page shows.
            # Interrupted attempts must end at once, and a page that is gone has nothing to report.
            if attempt.interruption is None and not isinstance(error, BrowserLost | LeaseLost):
                attempt.failure_report = await driver.build_failure_report()
                attempt.trace = await trace_recorder.stop()
            # A page that floods answers to nothing, so its program cannot be stopped by it.
            if not isinstance(attempt.interruption, PageFloods):
                attempt.stop_note = await driver.stop_program()
            raise
        return Completed(images, media_keys, driver.matched_selectors)

    async def _generate(
        self, job: Job, driver: Driver, input_files: Mapping[str, InputFile]
    ) -> tuple[Sequence[GeneratedImage], Sequence[str]]:
        """Return the images, which are stored, and their keys in the media store."""
        with span("page.open"):
            await driver.open(job.request, input_files)
        with span("page.submit"):
            await driver.submit()
            await self._retry_while_unavailable(self._stores.attempts.mark_accepted, job)
        progress: Progress | None = None
        with span("page.watch"):
            async for updates in throttle(driver.watch()):
                progress = updates.progress or progress
                await self._record_updates(job, updates)
        images = await driver.collect_images()
        if progress and progress.percentage < 100:
            # Pages rarely report their last step.
            await self._record_updates(job, Updates(Progress(100.0, progress.steps, progress.steps), None))
        with span("result.store", {"darkroom.result.count": len(images)}):
            jpeg = await self._make_jpeg(job, driver, images[0])
            media_keys = await self._retry_while_unavailable(self._stores.attempts.store_images, job, images, jpeg)
        return images, media_keys

    async def _make_jpeg(self, job: Job, driver: Driver, image: GeneratedImage) -> bytes:
        """Return the result as JPEG; a poster of a video or of a picture that is too large to be decoded here."""
        if convert.is_convertible(image.media_type, image.width, image.height):
            with contextlib.suppress(*DECODE_ERRORS):
                return await asyncio.to_thread(convert.convert, image.data, "jpg")
        if poster := await driver.draw_poster(image):
            return poster
        log.warning("job.poster_failed", type=image.media_type)
        preview = await self._retry_while_unavailable(self._stores.results.get_preview, job.id)
        if preview:
            return preview
        return await asyncio.to_thread(convert.make_blank_jpeg, image.width, image.height)

    async def _record_updates(self, job: Job, updates: Updates) -> None:
        """Store progress and a preview (JPEG); dropped if Redis is unavailable, because newer updates follow."""
        preview = updates.preview
        if preview and not await asyncio.to_thread(convert.is_preview_jpeg, preview):
            preview = None
        if not (updates.progress or preview):
            return
        try:
            await asyncio.to_thread(self._stores.attempts.record_updates, job, updates.progress, preview)
        except Unavailable as error:
            log.warning("job.update_dropped", error=str(error))

    async def _write_outcome(self, job: Job, outcome: Outcome) -> None:
        """Complete, retry, release or fail the job; retried while Redis is unavailable.

        If the write does not succeed in time, the lease expires and another worker repeats the job.
        """
        # Finished images are worth a longer wait than an error.
        timeout_s = self._deadline_s if isinstance(outcome, Completed) else OUTAGE_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                if isinstance(outcome, Completed):
                    complete, keys = self._stores.attempts.complete, outcome.media_keys
                    await self._retry_while_unavailable(complete, job, outcome.images, keys)
                    log.info("job.completed")
                else:
                    await self._write_failure(job, outcome)
        except LeaseLost:
            log.warning("job.taken_over")
        except TimeoutError:
            log.exception("job.end_not_written")

    async def _write_failure(self, job: Job, outcome: Failed) -> None:
        attempts, error = self._stores.attempts, outcome.error
        log.warning("job.stopped", code=error.code)
        # Only at debug level: a message quoted from the page may repeat the prompt.
        log.debug("job.reason", error=error.message)
        if isinstance(error, LeaseLost):
            return
        if outcome.trace:
            await self._retry_while_unavailable(attempts.store_trace, job, outcome.trace)
        if isinstance(error, WorkerStopping):
            await self._retry_while_unavailable(attempts.release, job, error)
            return
        pause_ms = 0
        if isinstance(error, SiteBusy):
            pause_ms = 1000 * (error.retry_after_s or 0)
            await self._retry_while_unavailable(self._stores.circuit_breakers.pause, job.request.site, pause_ms)
        if error.retryable and job.retries < len(RETRY_DELAYS_MS):
            delay_ms = max(round(RETRY_DELAYS_MS[job.retries] * random.uniform(0.8, 1.2)), pause_ms)
            await self._retry_while_unavailable(attempts.retry, job, error, delay_ms, outcome.failure_report)
        else:
            await self._retry_while_unavailable(attempts.fail, job, error, outcome.failure_report)

    async def _record_drift(self, site: str, matched: dict[str, str]) -> None:
        """Log selectors that matched by another alternative than in the last good run: the page has begun to change."""
        if self._last_matched.get(site) == matched:
            return
        self._last_matched[site] = matched
        with contextlib.suppress(Unavailable):
            for change in await asyncio.to_thread(self._stores.selector_drift.record, site, matched):
                log.warning("site.drift", place=change.place, before=change.before, now=change.now)

    @contextmanager
    def _freeing_on_outage(
        self, release_slot: Callable[[], None], open_page: AsyncExitStack | None = None
    ) -> Iterator[None]:
        """Give the slot back if Redis does not answer in the block, for jobs of other servers, and close the page."""

        async def free() -> None:
            if open_page:
                await open_page.aclose()
            release_slot()

        token = _on_outage.set(free if self._slots else None)
        try:
            yield
        finally:
            _on_outage.reset(token)

    async def _retry_while_unavailable(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Repeat a blocking call while Redis is unavailable, so that an outage does not discard finished work."""
        while True:
            try:
                return await asyncio.to_thread(call, *args, **kwargs)
            except Unavailable as error:
                await _report_outage(error)
                await asyncio.sleep(OUTAGE_RETRY_INTERVAL_S)


async def _report_outage(error: Unavailable) -> None:
    """Log that a call has found Redis unavailable, and give back what others can use meanwhile."""
    log.warning("redis.retrying", error=str(error))
    if free := _on_outage.get():
        await free()


@contextmanager
def _calling_later(delay_s: float, call: Callable[[], None]) -> Iterator[None]:
    """Call a function if the block takes longer than ``delay_s``."""
    timer = asyncio.get_running_loop().call_later(delay_s, call)
    try:
        yield
    finally:
        timer.cancel()
