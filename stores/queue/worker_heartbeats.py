"""The registry of living workers: each sends heartbeats with its status."""

import json
import time
from dataclasses import asdict, dataclass, replace

from redis import Redis

from stores.redis.keys import WORKER_DETAILS, WORKER_HEARTBEATS
from stores.redis.scripts import Scripts

# Longer than one call that hangs until its timeout, with the time before and after it.
DEAD_AFTER_MS = 10_000
PURGE_AFTER_MS = 3_600_000
# A status that has not changed is sent less often than one that has.
SAME_STATUS_INTERVAL_S = 1.9
KEYS = {"index": WORKER_HEARTBEATS, "details": WORKER_DETAILS}


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker's status.

    ``contexts`` are its open browser contexts, ``slots`` their maximum, ``problem`` says why it has no browser.
    ``started_at`` and ``browser_started_at`` are Unix milliseconds, 0 if they are not known.
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
    started_at: int = 0
    browser_started_at: int = 0


class WorkerRegistry:
    """The workers of one Redis."""

    def __init__(self, client: Redis, scripts: Scripts) -> None:
        self._redis = client
        self._scripts = scripts
        self._sent: dict[str, tuple[WorkerStatus, float]] = {}

    def keep_alive(self, status: WorkerStatus) -> None:
        """Record a heartbeat, unless the last one is recent and said the same; memory and times need not be newest."""
        known, sent_at = self._sent.get(status.id, (None, 0.0))
        comparable = replace(status, memory_bytes=0, browser_started_at=0)
        if comparable == known and time.monotonic() - sent_at < SAME_STATUS_INTERVAL_S:
            return
        self._sent.pop(status.id, None)
        self.record_heartbeat(status)
        self._sent[status.id] = comparable, time.monotonic()

    def record_heartbeat(self, status: WorkerStatus) -> None:
        """Record that a worker is alive, and its status; remove workers that have been dead for PURGE_AFTER_MS."""
        arguments = {**KEYS, "name": status.id, "status": json.dumps(asdict(status)), "forget_after_ms": PURGE_AFTER_MS}
        self._scripts.run("record_heartbeat", arguments)

    def remove(self, worker_id: str) -> None:
        """Remove a worker that stops; it counts as dead at once."""
        self._sent.pop(worker_id, None)
        with self._redis.pipeline() as pipe:
            pipe.zrem(WORKER_HEARTBEATS, worker_id)
            pipe.hdel(WORKER_DETAILS, worker_id)
            pipe.execute()

    def list_alive(self) -> list[WorkerStatus]:
        """Return the workers with a recent heartbeat."""
        rows = self._scripts.run("list_alive", {**KEYS, "dead_after_ms": DEAD_AFTER_MS})
        return [WorkerStatus(**json.loads(row)) for row in rows]
