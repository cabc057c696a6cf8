"""The registry of living workers: each sends heartbeats with its status."""

import json
from dataclasses import asdict, dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from stores.redis.keys import WORKER_DETAILS, WORKER_HEARTBEATS

DEAD_AFTER_MS = 8_000
PURGE_AFTER_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker's status.

    ``contexts`` are its open browser contexts, ``slots`` their maximum, ``problem`` says why it has no browser.
    """

    id: str
    ready: bool
    browser: str
    browser_restarts: int
    contexts: int
    slots: int
    jobs: int
    memory_bytes: int
    problem: str = ""


class WorkerRegistry:
    """The workers of one Redis."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._redis = client
        self._clock = clock

    def record_heartbeat(self, status: WorkerStatus) -> None:
        """Record that a worker is alive, and its status."""
        with self._redis.pipeline() as pipe:
            pipe.zadd(WORKER_HEARTBEATS, {status.id: self._clock.now_ms()})
            pipe.hset(WORKER_DETAILS, status.id, json.dumps(asdict(status)))
            pipe.execute()

    def remove(self, worker_id: str) -> None:
        """Remove a worker that stops; it counts as dead at once."""
        with self._redis.pipeline() as pipe:
            pipe.zrem(WORKER_HEARTBEATS, worker_id)
            pipe.hdel(WORKER_DETAILS, worker_id)
            pipe.execute()

    def list_alive(self) -> list[WorkerStatus]:
        """Return the workers with a recent heartbeat."""
        min_time = self._clock.now_ms() - DEAD_AFTER_MS
        ids = cast(list[bytes], self._redis.zrangebyscore(WORKER_HEARTBEATS, min_time, "+inf"))
        rows = cast(list[bytes | None], self._redis.hmget(WORKER_DETAILS, ids)) if ids else []
        return [WorkerStatus(**json.loads(row)) for row in rows if row]

    def is_dead(self, worker_id: str) -> bool:
        """Whether a worker has no recent heartbeat."""
        heartbeat = self._redis.zscore(WORKER_HEARTBEATS, worker_id)
        return heartbeat is None or heartbeat < self._clock.now_ms() - DEAD_AFTER_MS

    def purge_dead(self) -> None:
        """Remove workers that have been dead for PURGE_AFTER_MS."""
        max_time = self._clock.now_ms() - PURGE_AFTER_MS
        for worker_id in cast(list[bytes], self._redis.zrangebyscore(WORKER_HEARTBEATS, "-inf", max_time)):
            self.remove(worker_id.decode())
