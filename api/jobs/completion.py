"""Waiting for jobs within a request, for APIs whose clients expect the pictures in the answer.

The wait reads the jobs' event logs whenever they change. It ends when all jobs have ended, when the caller's key or
session ends, and when this process stops. A client that hangs up loses nothing: its jobs go on, unless its request has
the header ``X-Darkroom-Cancel-On-Disconnect: true``.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

import structlog
from flask import g

from api.http.auth import current_credential
from api.http.context import stores
from api.jobs.hang_up import HangUp, wants_cancellation, watch_hang_up
from schemas.errors import Cancelled, ServiceError, Unauthorized, Unavailable, WaitTimedOut, errors_by_code
from schemas.jobs.events import Event, EventType
from schemas.jobs.job import Job
from stores import Stores
from stores.accounts.key_revocation import Credential
from stores.jobs.event_log import BATCH_SIZE
from stores.redis.pubsub import ChangeSignal

# Proxies and clients close connections that stay silent.
HEARTBEAT_S = 15.0
# For answers without heartbeats, from the arrival of the request. OpenAI's packages give up after 600 s and send the
# request again, which makes other jobs; the answer that forbids that has to be there earlier.
MAX_SILENT_WAIT_S = 570.0
RETRY_AFTER_S = 1
CANCELLED_BY_DISCONNECT = "The client disconnected, and had asked to cancel its jobs in that case."

log = structlog.get_logger(__name__)


class UpdateKind(StrEnum):
    """The kinds of updates for a waiting client."""

    PROGRESS = "progress"
    PREVIEW = "preview"
    HEARTBEAT = "heartbeat"
    END = "end"


@dataclass(frozen=True, slots=True)
class Update:
    """One thing to show to a waiting client.

    ``job`` is as it was when the wait began or, with ``END``, as it ended. ``PROGRESS`` has the ``percentage``, if the
    page shows one. ``PREVIEW`` says that there is a new picture to be read with ``stores.results.get_preview``. A
    ``HEARTBEAT`` is about no job.
    """

    kind: UpdateKind
    job: Job | None = None
    percentage: float | None = None


def follow_own_jobs(jobs: Sequence[Job], *, timeout_s: float = math.inf) -> Iterator[Update]:
    """Yield what happens to jobs of the current caller until all have ended; see ``follow_jobs`` for the errors.

    It is called in a request, and the iterator may be used after its view has returned.
    """
    hang_up = watch_hang_up() if wants_cancellation() else None
    return follow_jobs(stores(), current_credential(), jobs, timeout_s=timeout_s, hang_up=hang_up)


def wait_for_own_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Return jobs of the current caller, in their order, when all are completed; raises as ``completed_jobs``.

    The wait ends ``MAX_SILENT_WAIT_S`` after the current request has begun.
    """
    left_s = MAX_SILENT_WAIT_S - (time.perf_counter() - g.began)
    return completed_jobs(stores(), jobs, follow_own_jobs(jobs, timeout_s=left_s))


def completed_jobs(stores: Stores, jobs: Sequence[Job], updates: Iterator[Update]) -> list[Job]:
    """Return the jobs, in their order, when ``updates`` says that all are completed.

    Raises:
        ServiceError: one has failed; the others are cancelled. Further errors as ``follow_jobs``.
    """
    ended: dict[str, Job] = {}
    for update in updates:
        if update.kind is UpdateKind.END and update.job:
            require_completed(stores, update.job, jobs)
            ended[update.job.id] = update.job
    return [ended[job.id] for job in jobs]


def require_completed(stores: Stores, ended: Job, siblings: Sequence[Job] = ()) -> None:
    """Raise the error of a job that has failed, and cancel its ``siblings``: a request gets all pictures or none."""
    if ended.error:
        cancel_jobs(stores, [job for job in siblings if job.id != ended.id])
        raise job_failure(ended)


def job_failure(job: Job) -> ServiceError:
    """Return the error with which a job has failed, with the job's id in its details."""
    code, message = (job.error.code, job.error.message) if job.error else ("internal", None)
    return errors_by_code().get(code, ServiceError)(message, jobId=job.id)


def cancel_jobs(stores: Stores, jobs: Sequence[Job]) -> None:
    """Cancel those of the jobs that have not ended."""
    for job in jobs:
        try:
            stores.jobs.cancel(job.id)
        except Unavailable as error:
            log.warning("completion.not_cancelled", job_id=job.id, error=error.message)


def follow_jobs(
    stores: Stores,
    credential: Credential,
    jobs: Sequence[Job],
    *,
    timeout_s: float = math.inf,
    hang_up: HangUp | None = None,
) -> Iterator[Update]:
    """Yield what happens to jobs until all have ended, and a heartbeat when nothing happens for ``HEARTBEAT_S``.

    With ``hang_up``, jobs that have not ended are cancelled when the client disconnects or the iterator is closed.

    Raises:
        Unauthorized: the key or session is no longer valid.
        WaitTimedOut: the jobs have not ended within ``timeout_s``; they go on.
        Unavailable: this process stops, or Redis is down; the jobs go on.
        Gone: a job has expired.
        Cancelled: the client has disconnected, and asked for its jobs to be cancelled then.
    """
    progress = _Progress(stores, jobs)
    try:
        yield from _follow(stores, credential, progress, time.monotonic() + timeout_s, hang_up)
    except (GeneratorExit, Cancelled):
        if hang_up:
            cancel_jobs(stores, progress.open_jobs())
        raise


def _follow(
    stores: Stores, credential: Credential, progress: "_Progress", ends_at: float, hang_up: HangUp | None
) -> Iterator[Update]:
    with ExitStack() as stack:
        signal = stack.enter_context(stores.notifier.watch(*(job.id for job in progress.open_jobs())))
        stack.enter_context(stores.key_revocation.watch(credential, signal))
        if hang_up:
            stack.enter_context(hang_up.notifying(signal))
        while True:
            yield from progress.read(signal)
            if not progress.open_jobs():
                return
            _check(signal, hang_up, ends_at)
            if not signal.wait(min(HEARTBEAT_S, ends_at - time.monotonic())):
                yield Update(UpdateKind.HEARTBEAT)
                # The event that ends a job may have been lost, and a job may expire.
                yield from progress.read_ended()


def _check(signal: ChangeSignal, hang_up: HangUp | None, ends_at: float) -> None:
    """Raise what ends the wait before the jobs."""
    if signal.revoked:
        raise Unauthorized
    if hang_up and hang_up.has_happened:
        raise Cancelled(CANCELLED_BY_DISCONNECT)
    if signal.closing:
        raise Unavailable("This process is stopping; the jobs of this request go on.", retry_after_s=RETRY_AFTER_S)
    if time.monotonic() >= ends_at:
        raise WaitTimedOut


class _Progress:
    """How far the event logs of some jobs have been read."""

    def __init__(self, stores: Stores, jobs: Sequence[Job]) -> None:
        self._stores = stores
        self._open = {job.id: job for job in jobs}
        self._read_until = dict.fromkeys(self._open, 0)

    def open_jobs(self) -> list[Job]:
        """Return the jobs whose end has not been read."""
        return list(self._open.values())

    def read(self, signal: ChangeSignal) -> Iterator[Update]:
        """Yield the events since the last read."""
        # The signal's number is that of an event of the only job.
        known_seq = signal.newest_seq if len(self._read_until) == 1 else 0
        for job in self.open_jobs():
            while job.id in self._open:
                events = self._stores.event_log.read_job(job, self._read_until[job.id], known_seq)
                if events:
                    self._read_until[job.id] = events[-1].seq
                yield from self._updates(job, events)
                if len(events) < BATCH_SIZE:
                    break

    def read_ended(self) -> Iterator[Update]:
        """Yield the ends of jobs that have ended; raises Gone and NotFound if one has expired."""
        for job in self.open_jobs():
            current = self._stores.jobs.get(job.id)
            if current.state.is_final:
                del self._open[job.id]
                yield Update(UpdateKind.END, current)

    def _updates(self, job: Job, events: Sequence[Event]) -> Iterator[Update]:
        for event in events:
            if event.is_final:
                del self._open[job.id]
                yield Update(UpdateKind.END, self._stores.jobs.get(job.id))
            elif event.type is EventType.PROGRESS:
                yield Update(UpdateKind.PROGRESS, job, event.data.get("percentage"))
            elif event.type is EventType.PREVIEW:
                yield Update(UpdateKind.PREVIEW, job)
