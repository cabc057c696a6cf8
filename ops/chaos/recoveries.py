"""The measuring of recoveries: from a fault that takes a running job's worker away to the job's running again."""

import time
from dataclasses import dataclass

from redis import RedisError

from ops.testbed.stack import Stack
from schemas.errors import Gone, NotFound, Unavailable
from schemas.jobs.job import Job


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that ran when something happened, under which attempt, and when that was."""

    attempt: int
    time_s: float


class Recoveries:
    """How long each job that lost its attempt was without one; ``seconds`` grows as they recover."""

    def __init__(self, stack: Stack) -> None:
        """Nothing is watched yet."""
        self._stack = stack
        self._watched: dict[str, RunningJob] = {}
        self.seconds: list[float] = []

    def record_running_jobs(self) -> None:
        """Note who runs now: something is about to happen."""
        try:
            for job_id in self._stack.stores.maintenance.list_running():
                job = self._get(job_id)
                if job and job_id not in self._watched:
                    self._watched[job_id] = RunningJob(job.attempt, time.monotonic())
        except Unavailable:
            return

    def update(self) -> None:
        """See who runs again under a new attempt; who has ended meanwhile had lost nothing."""
        for job_id, watched in tuple(self._watched.items()):
            try:
                job = self._get(job_id)
            except (Unavailable, RedisError):
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
