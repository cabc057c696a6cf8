"""Who is alive: each worker's heartbeat with what it has to say about its browser."""

import json
from dataclasses import asdict, dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from stores.redis.errors import redis_errors

DEAD_AFTER_MS = 8_000
PURGE_AFTER_MS = 3_600_000
HEARTBEATS_KEY = "dr:workers"
DETAILS_KEY = "dr:workers:details"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What a worker says of itself.

    ``contexts`` are its open browser contexts, ``slots`` how many it may have, ``problem`` why it has no browser.
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
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock

    def record_heartbeat(self, status: WorkerStatus) -> None:
        """Say that a worker lives."""
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.zadd(HEARTBEATS_KEY, {status.id: self._clock.now_ms()})
            pipe.hset(DETAILS_KEY, status.id, json.dumps(asdict(status)))
            pipe.execute()

    def remove(self, worker_id: str) -> None:
        """A worker stops in good order."""
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.zrem(HEARTBEATS_KEY, worker_id)
            pipe.hdel(DETAILS_KEY, worker_id)
            pipe.execute()

    def list_alive(self) -> list[WorkerStatus]:
        """The workers whose heart beats."""
        with redis_errors():
            ids = cast(
                list[bytes], self._redis.zrangebyscore(HEARTBEATS_KEY, self._clock.now_ms() - DEAD_AFTER_MS, "+inf")
            )
            rows = cast(list[bytes | None], self._redis.hmget(DETAILS_KEY, ids)) if ids else []
        return [WorkerStatus(**json.loads(row)) for row in rows if row]

    def is_dead(self, worker_id: str) -> bool:
        """Whether a worker's heart has stopped, or it has left."""
        with redis_errors():
            beat = self._redis.zscore(HEARTBEATS_KEY, worker_id)
        return beat is None or beat < self._clock.now_ms() - DEAD_AFTER_MS

    def purge_dead(self) -> None:
        """Drop what is known of workers that died long ago."""
        with redis_errors():
            highest = self._clock.now_ms() - PURGE_AFTER_MS
            for worker in cast(list[bytes], self._redis.zrangebyscore(HEARTBEATS_KEY, "-inf", highest)):
                self.remove(worker.decode())
