"""The running attempts of one worker: cancellation, lease renewal and release on shutdown."""

import asyncio
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

log = structlog.get_logger(__name__)


class AttemptRegistry:
    """Tracks the running attempts by job id. All methods must be called on the event loop."""

    def __init__(self, leases: Attempts) -> None:
        self._leases = leases
        self._attempts: dict[str, Attempt] = {}
        # Cancellations of jobs that are not tracked (yet): one of them may be claimed at this moment.
        self._early_cancellations: deque[str] = deque(maxlen=MAX_EARLY_CANCELLATIONS)
        self._is_stopping = False

    def __len__(self) -> int:
        """The number of running attempts."""
        return len(self._attempts)

    @contextmanager
    def track(self, job: Job) -> Iterator[Attempt]:
        """Register an attempt at ``job`` while the block runs; the current task is the one that is interrupted."""
        attempt = Attempt(job)
        self._attempts[job.id] = attempt
        # Requests between the claim and this point found no attempt to interrupt.
        if job.cancel_requested_at is not None or job.id in self._early_cancellations:
            attempt.interrupt(Cancelled())
        elif self._is_stopping:
            attempt.interrupt(WorkerStopping())
        try:
            yield attempt
        finally:
            attempt.close()
            del self._attempts[job.id]

    def cancel(self, job_id: str) -> None:
        """Interrupt the attempt at a job because its cancellation was requested."""
        if attempt := self._attempts.get(job_id):
            attempt.interrupt(Cancelled())
        else:
            self._early_cancellations.append(job_id)

    def release_all(self) -> None:
        """Give all jobs back because the worker stops, including those that are being claimed at this moment."""
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
                log.warning("lease.not_renewed", job_id=attempt.job.id, error=error.message)
