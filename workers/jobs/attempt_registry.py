"""The running attempts of one worker: cancellation, lease renewal and release on shutdown.

A worker may run two attempts at one job at a time: it claims the job again while its first attempt, whose lease is
lost, still closes its page. Attempts are therefore kept by their claim tokens.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from schemas.errors import Cancelled, LeaseLost, Unavailable, WorkerStopping
from schemas.jobs.job import Job
from stores.jobs.attempts import Attempts
from workers.jobs.attempt import Attempt

LEASE_RENEWAL_INTERVAL_S = 10.0
MAX_EARLY_CANCELLATIONS = 1000
STOP_NOTICE_S = 1.0

log = structlog.get_logger(__name__)


class AttemptRegistry:
    """Tracks the running attempts by claim token. All methods must be called on the event loop."""

    def __init__(self, leases: Attempts) -> None:
        self._leases = leases
        self._attempts: dict[str, Attempt] = {}
        # One of these jobs may be claimed at this moment, and is not tracked yet.
        self._early_cancellations: deque[str] = deque(maxlen=MAX_EARLY_CANCELLATIONS)
        self._is_stopping = False
        self._draining = asyncio.Event()

    def __len__(self) -> int:
        """The number of running attempts."""
        return len(self._attempts)

    @contextmanager
    def track(self, job: Job) -> Iterator[Attempt]:
        """Register an attempt at ``job`` while the block runs; the current task is the one that is interrupted."""
        attempt = Attempt(job)
        self._attempts[job.claim_token] = attempt
        # Requests between the claim and this point found no attempt to interrupt.
        if job.cancel_requested_at is not None or job.id in self._early_cancellations:
            attempt.interrupt(Cancelled())
        elif self._is_stopping:
            attempt.interrupt(WorkerStopping())
        try:
            yield attempt
        finally:
            attempt.close()
            del self._attempts[job.claim_token]

    def cancel(self, job_id: str) -> None:
        """Interrupt the attempts at a job because its cancellation was requested."""
        for attempt in tuple(self._attempts.values()):
            if attempt.job.id == job_id:
                attempt.interrupt(Cancelled())
        # Even if an attempt was found: the job may be claimed again at this moment.
        self._early_cancellations.append(job_id)

    @property
    def is_draining(self) -> bool:
        """Whether this worker has been told to stop and takes no more jobs."""
        return self._draining.is_set()

    def begin_draining(self) -> None:
        """Record that this worker has been told to stop."""
        self._draining.set()

    async def wait_for_draining(self, timeout_s: float = STOP_NOTICE_S) -> bool:
        """Whether this worker has been told to stop, or is told so within ``timeout_s``.

        Platforms send SIGTERM to all processes of a worker at once, and its browser may die before this process has
        handled the signal.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._draining.wait()
        return self._draining.is_set()

    def release_all(self) -> None:
        """Release all jobs because the worker is stopping, including jobs that are being claimed at this moment."""
        self._is_stopping = True
        for attempt in tuple(self._attempts.values()):
            attempt.interrupt(WorkerStopping())

    async def renew_forever(self) -> None:
        """Renew all leases periodically."""
        while True:
            await asyncio.sleep(LEASE_RENEWAL_INTERVAL_S)
            await self.renew_all()

    async def renew_all(self) -> None:
        """Renew all leases once and interrupt attempts whose lease is lost or whose cancellation was requested."""
        for attempt in tuple(self._attempts.values()):
            try:
                if await asyncio.to_thread(self._leases.renew, attempt.job):
                    attempt.interrupt(Cancelled())
            except LeaseLost as error:
                attempt.interrupt(error)
            except Unavailable as error:
                log.warning("lease.not_renewed", job_id=attempt.job.id, error=str(error))
