"""Periodic maintenance of jobs: expired leases, jobs that waited too long, orphaned ids.

Every step may run in several processes at once.
"""

from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.errors import ServiceError
from stores.jobs.attempts import MAX_DELIVERIES
from stores.queue.worker_heartbeats import DEAD_AFTER_MS
from stores.redis.keys import ALL_JOBS, CAPACITY, DUE_JOBS, LEASES, OPEN_JOBS, job_key, owner_jobs_key, ready_key
from stores.redis.scripts import Scripts

CAPACITY_TTL_S = 30
MAX_LISTED = 200


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

    def list_lost(self, *, leases: bool, heartbeats: bool) -> list[tuple[str, str]]:
        """Return running jobs that may have lost their worker, each with the dead worker.

        ``leases`` finds those whose lease has expired, without a worker, and ``heartbeats`` those whose worker has no
        recent heartbeat.
        """
        arguments = {"leases": leases, "heartbeats": heartbeats, "dead_after_ms": DEAD_AFTER_MS, "limit": MAX_LISTED}
        row = [part.decode() for part in self._scripts.run("list_lost", arguments)]
        return list(zip(row[::2], row[1::2], strict=True))

    def list_running(self) -> list[str]:
        """Return all running jobs."""
        return [job_id.decode() for job_id in cast(list[bytes], self._redis.zrange(LEASES, 0, -1))]

    def list_open(self) -> list[str]:
        """Return unfinished jobs, the oldest ones, at most MAX_LISTED."""
        ids = cast(list[bytes], self._redis.zrange(OPEN_JOBS, 0, MAX_LISTED - 1))
        return [job_id.decode() for job_id in ids]

    def list_overdue(self, max_wait_s: int) -> list[str]:
        """Return unfinished jobs that were accepted longer ago, the oldest ones; some may have no record."""
        arguments = {"max_wait_ms": max_wait_s * 1000, "limit": MAX_LISTED}
        return [job_id.decode() for job_id in self._scripts.run("list_overdue", arguments)]

    def get_lease_owner(self, job_id: str) -> str | None:
        """Return the worker that runs a job."""
        owner = cast(bytes | None, self._redis.hget(job_key(job_id, "job"), "leaseOwner"))
        return owner.decode() if owner else None

    def requeue_expired(self, job_id: str, dead_worker: str = "") -> bool:
        """Take a job back if its lease has expired or ``dead_worker`` holds it.

        A job that has lost MAX_DELIVERIES workers ends with ``worker_lost``.
        """
        arguments = {"id": job_id, "ttl_s": self._ttl_s, "max_deliveries": MAX_DELIVERIES}
        return bool(self._scripts.run("requeue_expired", {**arguments, "dead_worker": dead_worker or None}))

    def expire(self, job_id: str, max_wait_s: int, error: ServiceError) -> bool | None:
        """End a job that has waited longer since it was accepted or requeued; None if it has no record."""
        arguments = {"id": job_id, "ttl_s": self._ttl_s, "max_wait_ms": max_wait_s * 1000}
        answer = self._scripts.run("expire", {**arguments, "code": error.code, "message": error.message})
        return None if answer < 0 else bool(answer)

    def remove_orphan(self, job_id: str) -> None:
        """Remove an id without a record from all indexes of unfinished jobs."""
        indexes = [OPEN_JOBS.encode(), DUE_JOBS.encode(), LEASES.encode()]
        for pattern in (f"{OPEN_JOBS}:*", f"{LEASES}:*", ready_key("*", "*")):
            indexes += self._redis.scan_iter(match=pattern, count=500)
        with self._redis.pipeline() as pipe:
            for index in indexes:
                pipe.zrem(index, job_id)
            pipe.execute()

    def trim_job_lists(self, retention_s: int) -> None:
        """Remove jobs accepted longer ago from the lists of all jobs and of each owner, which keep expired ones."""
        before_ms = self._clock.now_ms() - retention_s * 1000
        self._redis.zremrangebyscore(ALL_JOBS, "-inf", before_ms)
        for index in self._redis.scan_iter(match=owner_jobs_key("*"), count=500):
            self._redis.zremrangebyscore(index, "-inf", before_ms)
