"""Periodic maintenance of jobs: expired leases, dead workers, jobs that waited too long, indexes and lists.

Every step may run in several processes at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.errors import ServiceError
from stores.jobs.attempts import MAX_DELIVERIES
from stores.queue.worker_heartbeats import DEAD_AFTER_MS
from stores.redis.keys import (
    ALL_JOBS,
    CAPACITY,
    CHANGES_CHANNEL,
    DUE_JOBS,
    LEASES,
    OPEN_JOBS,
    OWNERS,
    QUEUE_MOVED,
    SITES,
    job_key,
    owner_jobs_key,
    owner_open_jobs_key,
    owner_running_jobs_key,
    ready_key,
    site_leases_key,
)
from stores.redis.scripts import Scripts

CAPACITY_TTL_S = 30
MAX_LISTED = 200
# Jobs that one step of the repair looks at: few while all goes well, many until all have been looked at once.
REPAIR_STEP, FIRST_REPAIR_STEP = 100, 1000
OWNERS_STEP = 500


@dataclass(frozen=True, slots=True)
class SweptJobs:
    """The result of a sweep: jobs that were requeued from lost workers, and ids of unfinished jobs without a record."""

    taken_back: list[str]
    orphans: list[str]


class Maintenance:
    """The maintenance of one Redis."""

    def __init__(self, client: Redis, scripts: Scripts, clock: Clock, settings: Settings) -> None:
        self._redis = client
        self._scripts = scripts
        self._clock = clock
        self._ttl_s = settings.result_ttl_s
        self._repair_step = FIRST_REPAIR_STEP
        self._is_first_repair = True

    def publish_capacity(self, slots: int) -> None:
        """Store the number of jobs that all living workers can run at once, for estimates."""
        before = cast(bytes | None, self._redis.set(CAPACITY, slots, ex=CAPACITY_TTL_S, get=True))
        if before is None or int(before) != slots:
            self._redis.publish(CHANGES_CHANNEL, QUEUE_MOVED)

    def sweep(self, *, leases: bool, heartbeats: bool, max_wait_s: int, error: ServiceError) -> SweptJobs:
        """Take jobs back from lost workers, and end with ``error`` what has waited longer than ``max_wait_s``.

        ``leases`` looks for jobs whose lease has expired, ``heartbeats`` for workers without a recent heartbeat. A job
        that has lost MAX_DELIVERIES workers ends with ``worker_lost``. One call handles MAX_LISTED jobs of each kind.
        """
        answer = self._scripts.run(
            "sweep",
            {
                "leases": leases,
                "heartbeats": heartbeats,
                "dead_after_ms": DEAD_AFTER_MS,
                "limit": MAX_LISTED,
                "ttl_s": self._ttl_s,
                "max_deliveries": MAX_DELIVERIES,
                "max_wait_ms": max_wait_s * 1000,
                "code": error.code,
                "message": error.message,
            },
        )
        return SweptJobs(*([job_id.decode() for job_id in ids] for ids in answer))

    def repair(self) -> bool:
        """Repair the indexes of some waiting jobs; True once all have been looked at since the first call.

        The jobs that another version of this program has accepted can be claimed from then on.
        """
        arguments = {"limit": self._repair_step, "is_first": self._is_first_repair}
        is_complete, orphans = self._scripts.run("repair", arguments)
        self._is_first_repair = False
        for job_id in orphans:
            self.remove_orphan(job_id.decode())
        self._repair_step = REPAIR_STEP if is_complete else FIRST_REPAIR_STEP
        return bool(is_complete)

    def list_running(self) -> list[str]:
        """Return all running jobs."""
        return [job_id.decode() for job_id in cast(list[bytes], self._redis.zrange(LEASES, 0, -1))]

    def list_open(self) -> list[str]:
        """Return unfinished jobs, the oldest ones, at most MAX_LISTED."""
        ids = cast(list[bytes], self._redis.zrange(OPEN_JOBS, 0, MAX_LISTED - 1))
        return [job_id.decode() for job_id in ids]

    def get_lease_owner(self, job_id: str) -> str | None:
        """Return the worker that runs a job."""
        owner = cast(bytes | None, self._redis.hget(job_key(job_id, "job"), "leaseOwner"))
        return owner.decode() if owner else None

    def requeue_expired(self, job_id: str, dead_worker: str = "") -> bool:
        """Take a job back if its lease has expired or ``dead_worker`` holds it, as ``sweep`` does."""
        arguments = {"id": job_id, "ttl_s": self._ttl_s, "max_deliveries": MAX_DELIVERIES}
        return bool(self._scripts.run("requeue_expired", {**arguments, "dead_worker": dead_worker or None}))

    def expire(self, job_id: str, max_wait_s: int, error: ServiceError) -> bool | None:
        """End a job that has waited longer since it was accepted or requeued; None if it has no record."""
        arguments = {"id": job_id, "ttl_s": self._ttl_s, "max_wait_ms": max_wait_s * 1000}
        answer = self._scripts.run("expire", {**arguments, "code": error.code, "message": error.message})
        return None if answer < 0 else bool(answer)

    def remove_orphan(self, job_id: str) -> None:
        """Remove an id without a record from all indexes of unfinished jobs; its owner and site are not known."""
        sites = [site.decode() for site in cast(set[bytes], self._redis.smembers(SITES))]
        indexes = [OPEN_JOBS, DUE_JOBS, LEASES, *map(site_leases_key, sites)]
        for owners in self._list_owners():
            with self._redis.pipeline(transaction=False) as pipe:
                for index in indexes:
                    pipe.zrem(index, job_id)
                for owner in owners:
                    pipe.zrem(owner_open_jobs_key(owner), job_id)
                    pipe.srem(owner_running_jobs_key(owner), job_id)
                    for site in sites:
                        pipe.zrem(ready_key(site, owner), job_id)
                pipe.execute()
            indexes = []

    def _list_owners(self) -> Iterator[list[str]]:
        """Yield the owners with jobs in batches; at least one batch."""
        for start in range(0, max(1, self._redis.zcard(OWNERS)), OWNERS_STEP):
            batch = cast(list[bytes], self._redis.zrange(OWNERS, start, start + OWNERS_STEP - 1))
            yield [owner.decode() for owner in batch]

    def trim_job_lists(self, retention_s: int) -> None:
        """Remove jobs accepted longer ago from the list of all jobs, and the lists of owners without newer ones.

        Each submission trims its owner's own list.
        """
        before_ms = self._clock.now_ms() - retention_s * 1000
        self._redis.zremrangebyscore(ALL_JOBS, "-inf", before_ms)
        while left := cast(list[bytes], self._redis.zrangebyscore(OWNERS, "-inf", before_ms, 0, OWNERS_STEP)):
            with self._redis.pipeline(transaction=False) as pipe:
                for owner in left:
                    # The owner may have submitted a job just now.
                    pipe.zremrangebyscore(owner_jobs_key(owner.decode()), "-inf", before_ms)
                pipe.zremrangebyscore(OWNERS, "-inf", before_ms)
                pipe.execute()
