"""Owns the looks of many at one job: who was told of a change may see what another one has just read.

Called by ``api.sockets``.
"""

from schemas.jobs import Job
from stores.jobs import Jobs
from stores.sharing import Shared


class Glances:
    """Looks at the jobs of one Redis."""

    def __init__(self, jobs: Jobs) -> None:
        """Nothing is known yet."""
        self._jobs = jobs
        self._shared: Shared[str, Job] = Shared()

    def at(self, job_id: str, newest: int) -> Job:
        """The job, at least as new as its event ``newest``; as it is now if that is 0. Raises as ``Jobs.get`` does."""
        return self._shared.get(
            job_id, lambda: self._jobs.get(job_id), lambda known: bool(newest) and known.seq >= newest
        )
