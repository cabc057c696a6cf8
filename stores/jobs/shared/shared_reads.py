"""Single-flight reads of a job, for watchers that one change has woken together."""

import time
from collections.abc import Callable

from schemas.jobs.job import Job
from stores.jobs.jobs import Jobs
from stores.redis.single_flight import SingleFlight


class SharedReads:
    """Shared reads of the jobs of one Redis."""

    def __init__(self, jobs: Jobs, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._jobs = jobs
        self._monotonic = monotonic
        self._single_flight: SingleFlight[str, tuple[float, Job]] = SingleFlight()

    def timestamp(self) -> float:
        """Return the present time for ``read_since``; reads older than it are stale."""
        return self._monotonic()

    def read_since(self, job_id: str, known_seq: int, since: float) -> Job:
        """Return the job with event ``known_seq`` at least; with 0, as it was read after ``since``.

        Raises:
            NotFound, Gone: as ``Jobs.get``.
        """

        def read() -> tuple[float, Job]:
            # The time before the read: a change during the read may be missing.
            return self._monotonic(), self._jobs.get(job_id)

        def is_fresh(cached: tuple[float, Job]) -> bool:
            read_at, job = cached
            return job.seq >= known_seq and (known_seq > 0 or read_at >= since)

        return self._single_flight.do(job_id, read, is_fresh)[1]
