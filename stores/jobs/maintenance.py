"""Periodic maintenance of jobs: expired leases, jobs that waited too long, orphaned ids.

Every step may run in several processes at once.
"""

from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.errors import ServiceError
from stores.redis.keys import CAPACITY, DUE_JOBS, LEASES, OPEN_JOBS, job_key, owner_jobs_key, ready_key
from stores.redis.scripts import Scripts

CAPACITY_TTL_S = 30


class Maintenance:
    """The maintenance of one Redis."""

    def __init__(self, client: Redis, scripts: Scripts, clock: Clock, settings: Settings) -> None:
        self._redis = client
        self._scripts = scripts
        self._clock = clock
        self._ttl_s = settings.result_ttl_s

    def publish_capacity(self, slots: int) -> None:
        """Store the number of jobs that all living workers can run at once, for estimates."""
        self._redis.set(CAPACITY, slots, ex=CAPACITY_TTL_S)

    def list_expired_leases(self, limit: int = 200) -> list[str]:
        """Return running jobs whose lease has expired."""
        return self._list_up_to(LEASES, self._clock.now_ms(), limit)

    def list_running(self) -> list[str]:
        """Return all running jobs."""
        return [job_id.decode() for job_id in cast(list[bytes], self._redis.zrange(LEASES, 0, -1))]

    def list_open_before(self, time_ms: int, limit: int = 200) -> list[str]:
        """Return unfinished jobs that were accepted before a time."""
        return self._list_up_to(OPEN_JOBS, time_ms, limit)

    def _list_up_to(self, index: str, max_score: int, limit: int) -> list[str]:
        ids = cast(list[bytes], self._redis.zrangebyscore(index, "-inf", max_score, 0, limit))
        return [job_id.decode() for job_id in ids]

    def get_lease_owner(self, job_id: str) -> str | None:
        """Return the worker that runs a job."""
        owner = cast(bytes | None, self._redis.hget(job_key(job_id, "job"), "leaseOwner"))
        return owner.decode() if owner else None

    def requeue_expired(self, job_id: str, dead_worker: str = "") -> bool:
        """Take a job back if its lease has expired or ``dead_worker`` holds it."""
        arguments = {"id": job_id, "now": self._clock.now_ms(), "ttl_s": self._ttl_s}
        return bool(self._scripts.run("requeue_expired", {**arguments, "dead_worker": dead_worker or None}))

    def fail_queued(self, job_id: str, error: ServiceError) -> bool:
        """End a job that is still queued; False if it is not."""
        arguments = {"id": job_id, "now": self._clock.now_ms(), "ttl_s": self._ttl_s}
        return bool(self._scripts.run("fail", {**arguments, "code": error.code, "message": error.message}))

    def remove_orphan(self, job_id: str) -> None:
        """Remove an id without a record from all indexes of unfinished jobs."""
        indexes = [OPEN_JOBS.encode(), DUE_JOBS.encode(), LEASES.encode()]
        for pattern in (f"{OPEN_JOBS}:*", f"{LEASES}:*", ready_key("*", "*")):
            indexes += self._redis.scan_iter(match=pattern, count=500)
        with self._redis.pipeline() as pipe:
            for index in indexes:
                pipe.zrem(index, job_id)
            pipe.execute()

    def trim_job_lists(self, before_ms: int) -> None:
        """Remove jobs accepted before a time from the lists of their owners, which keep expired jobs until then."""
        for index in self._redis.scan_iter(match=owner_jobs_key("*"), count=500):
            self._redis.zremrangebyscore(index, "-inf", before_ms)
