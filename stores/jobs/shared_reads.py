"""The looks of many at one job: who was told of a change may see what another one has just read."""

import time
from collections.abc import Callable

from schemas.jobs.job import Job
from stores.jobs.jobs import Jobs
from stores.redis.single_flight import SingleFlight


class SharedReads:
    """Looks at the jobs of one Redis."""

    def __init__(self, jobs: Jobs, monotonic: Callable[[], float] = time.monotonic) -> None:
        """``tick`` counts seconds."""
        self._jobs = jobs
        self._tick = monotonic
        self._shared: SingleFlight[str, tuple[float, Job]] = SingleFlight()

    def timestamp(self) -> float:
        """The moment after which a look must have happened that one wants to believe."""
        return self._tick()

    def read_since(self, job_id: str, known_seq: int, since: float) -> Job:
        """The job, with its event ``newest`` at least, as it was at some time after ``since``, or later.

        Raises:
            NotFound, Gone: as ``Jobs.get`` does.
        """

        def read() -> tuple[float, Job]:
            return self._tick(), self._jobs.get(job_id)

        def is_good(known: tuple[float, Job]) -> bool:
            return known[1].seq >= known_seq and (known_seq > 0 or known[0] >= since)

        return self._shared.do(job_id, read, is_good)[1]
