"""The jobs that one request has submitted together, for clients that ask "what runs now" without an id.

Each caller has a sorted set with a member for each job, ``GROUP:ID``, where the group is the id of its first job. A
group is left out once all of its jobs have ended or expired.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from schemas.jobs.job import Job, QueueEstimate
from schemas.jobs.lifecycle import JobState
from stores.jobs.jobs import Jobs
from stores.redis.keys import request_groups_key

# Longer than a job may wait and run.
MAX_AGE_S = 86_400
# Of one caller; older ones are forgotten.
MAX_MEMBERS = 1000


@dataclass(frozen=True, slots=True)
class RequestGroup:
    """The jobs of one request that still exist, with their queue estimates, in the order of their submission."""

    jobs: tuple[tuple[Job, QueueEstimate], ...]

    @property
    def open_jobs(self) -> list[Job]:
        """The jobs that have not ended."""
        return [job for job, _ in self.jobs if not job.state.is_final]

    @property
    def present(self) -> tuple[Job, QueueEstimate]:
        """The first job that runs, or else the first that waits; only of a group with open jobs."""
        unfinished = [entry for entry in self.jobs if not entry[0].state.is_final]
        return next((entry for entry in unfinished if entry[0].state is not JobState.QUEUED), unfinished[0])


class RequestGroups:
    """The groups of all callers."""

    def __init__(self, client: Redis, clock: Clock, jobs: Jobs) -> None:
        self._redis = client
        self._clock = clock
        self._jobs = jobs

    def add(self, owner: str, ids: Sequence[str]) -> None:
        """Record the jobs that a request has submitted so far; the first id names the group."""
        key, now_ms = request_groups_key(owner), self._clock.now_ms()
        # The number orders the jobs of one request, which are submitted within the same milliseconds.
        members = {f"{ids[0]}:{number:03}:{job_id}": now_ms for number, job_id in enumerate(ids)}
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(key, members, nx=True)
            pipeline.zremrangebyscore(key, "-inf", now_ms - MAX_AGE_S * 1000)
            pipeline.zremrangebyrank(key, 0, -MAX_MEMBERS - 1)
            pipeline.expire(key, MAX_AGE_S)
            pipeline.execute()

    def find_current(self, owner: str) -> RequestGroup | None:
        """Return the oldest group with a job that has not ended; None if there is none."""
        key = request_groups_key(owner)
        members = [member.decode() for member in cast(list[bytes], self._redis.zrange(key, 0, -1))]
        groups: dict[str, list[str]] = {}
        for member in members:
            groups.setdefault(member.partition(":")[0], []).append(member)
        for own in groups.values():
            group = RequestGroup(tuple(self._jobs.get_existing([member.rpartition(":")[2] for member in sorted(own)])))
            if group.open_jobs:
                return group
            self._redis.zrem(key, *own)
        return None
