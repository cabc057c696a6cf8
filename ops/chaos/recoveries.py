"""Recovery times: from a fault that interrupts a running job until the job runs again."""

import time
from dataclasses import dataclass

from ops.testbed.stack import Stack
from schemas.errors import Gone, NotFound, Unavailable
from schemas.jobs.job import Job


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that was running at a fault: its attempt, and the time of the fault (``time.monotonic``)."""

    attempt: int
    time_s: float


class Recoveries:
    """The times that interrupted jobs were without a worker; ``seconds`` grows as jobs recover."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._watched: dict[str, RunningJob] = {}
        self.seconds: list[float] = []

    def record_running_jobs(self) -> None:
        """Record the running jobs; call it just before a fault."""
        try:
            for job_id in self._stack.stores.maintenance.list_running():
                job = self._get(job_id)
                if job and job_id not in self._watched:
                    self._watched[job_id] = RunningJob(job.attempt, time.monotonic())
        except Unavailable:
            return

    def update(self) -> None:
        """Find jobs with a new attempt; jobs that ended under the old one were not interrupted."""
        for job_id, watched in tuple(self._watched.items()):
            try:
                job = self._get(job_id)
            except Unavailable:
                return
            if job is None or job.attempt > watched.attempt:
                self.seconds += [time.monotonic() - watched.time_s] if job else []
                del self._watched[job_id]
            elif job.state.is_final:
                del self._watched[job_id]

    def _get(self, job_id: str) -> Job | None:
        try:
            return self._stack.stores.jobs.get(job_id)
        except (NotFound, Gone):
            return None
