"""What keeps the jobs of one Redis in order: what has lapsed, waited too long or been left behind."""

from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.errors import ServiceError
from stores.redis.errors import redis_errors
from stores.redis.keys import job_key
from stores.redis.scripts import Scripts

CAPACITY_TTL_S = 30


class Maintenance:
    """The upkeep of one Redis; every step may be done by several processes at once."""

    def __init__(self, client: Redis, scripts: Scripts, clock: Clock, settings: Settings) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._scripts = scripts
        self._clock = clock
        self._ttl_s = settings.result_ttl_s

    def publish_capacity(self, slots: int) -> None:
        """How many jobs the living workers can have in hand together, for estimates."""
        with redis_errors():
            self._redis.set("dr:slots", slots, ex=CAPACITY_TTL_S)

    def list_expired_leases(self, limit: int = 200) -> list[str]:
        """Running jobs whose lease is over."""
        return self._ids("dr:leases", self._clock.now_ms(), limit)

    def list_running(self) -> list[str]:
        """All running jobs."""
        with redis_errors():
            return [ident.decode() for ident in cast(list[bytes], self._redis.zrange("dr:leases", 0, -1))]

    def list_open_before(self, time_ms: int, limit: int = 200) -> list[str]:
        """Unfinished jobs that were accepted before a time."""
        return self._ids("dr:open", time_ms, limit)

    def _ids(self, index: str, highest: int, limit: int) -> list[str]:
        with redis_errors():
            found = cast(list[bytes], self._redis.zrangebyscore(index, "-inf", highest, 0, limit))
        return [ident.decode() for ident in found]

    def get_lease_owner(self, job_id: str) -> str | None:
        """The worker that runs the job."""
        with redis_errors():
            owner = cast(bytes | None, self._redis.hget(job_key(job_id, "job"), "leaseOwner"))
        return owner.decode() if owner else None

    def requeue_expired(self, job_id: str, dead_worker: str = "") -> bool:
        """Take the job back if its lease is over or ``dead_worker`` holds it."""
        return bool(self._scripts.run("lapse", job_id, self._clock.now_ms(), dead_worker, self._ttl_s))

    def fail_queued(self, job_id: str, error: ServiceError) -> bool:
        """End a job that still waits."""
        now = self._clock.now_ms()
        return bool(self._scripts.run("fail", job_id, now, "", self._ttl_s, error.code, error.message, ""))

    def remove_orphan(self, job_id: str) -> None:
        """Take an id without a record out of the lists of unfinished jobs."""
        with redis_errors(), self._redis.pipeline() as pipe:
            indexes = [b"dr:open", b"dr:due", b"dr:leases"]
            for pattern in ("dr:open:*", "dr:leases:*", "dr:ready:*"):
                indexes += self._redis.scan_iter(match=pattern, count=500)
            for index in indexes:
                pipe.zrem(index, job_id)
            pipe.execute()

    def trim_job_lists(self, before_ms: int) -> None:
        """Drop jobs accepted before a time from the listings of their owners, except unfinished ones."""
        with redis_errors():
            for index in self._redis.scan_iter(match="dr:jobs:*", count=500):
                self._redis.zremrangebyscore(index, "-inf", before_ms)
