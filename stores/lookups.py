"""Owns what is asked of a site's page while somebody waits: a question, its cached answer, and the wait between.

Called by ``api.lookups`` (ask) and by ``workers.lookups`` (answer).
"""

import json
from typing import Any, cast

from redis import Redis

from ops.clock import Clock
from stores.queue import Queue
from stores.scripts import redis_errors

KEPT_S = 86_400
ASKED_ONCE_S = 20
FAILED_KEPT_S = 10


class Lookups:
    """Questions to sites, answered by workers."""

    def __init__(self, client: Redis, queue: Queue, clock: Clock) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._queue = queue
        self._clock = clock

    def ask(self, actor: str, site: str, words: str, *, fresh_s: int, patience_s: float) -> tuple[Any, bool]:
        """The answer to a question and whether it is fresh; an old one, or None, if the site takes too long."""
        name = _name(actor, site, words)
        answer, age_ms = self._cached(name)
        if answer is not None and age_ms < fresh_s * 1000:
            return answer, True
        if patience_s <= 0:
            return answer, False
        with redis_errors():
            first = self._redis.set(f"{name}:asked", b"", nx=True, ex=ASKED_ONCE_S)
            if first:
                self._redis.delete(f"{name}:ready")
        if first:
            self._queue.send(actor, site, words)
        with redis_errors():
            ready = self._redis.blpop([f"{name}:ready"], timeout=patience_s)
            if ready is not None:
                self._redis.rpush(f"{name}:ready", b"")
        newer, age_ms = self._cached(name)
        return (newer, True) if newer is not None and age_ms < fresh_s * 1000 else (answer, False)

    def answer(self, actor: str, site: str, words: str, value: Any) -> None:
        """Keep an answer and wake everybody who waits for it."""
        name = _name(actor, site, words)
        kept = json.dumps({"at": self._clock.now_ms(), "value": value})
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.set(name, kept, ex=KEPT_S)
            pipe.delete(f"{name}:asked")
            pipe.rpush(f"{name}:ready", b"")
            pipe.expire(f"{name}:ready", FAILED_KEPT_S)
            pipe.execute()

    def give_up(self, actor: str, site: str, words: str) -> None:
        """The site did not answer: wake who waits, so that they go on with what there is."""
        name = _name(actor, site, words)
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.rpush(f"{name}:ready", b"")
            pipe.expire(f"{name}:ready", FAILED_KEPT_S)
            pipe.expire(f"{name}:asked", FAILED_KEPT_S)
            pipe.execute()

    def _cached(self, name: str) -> tuple[Any, int]:
        with redis_errors():
            kept = cast(bytes | None, self._redis.get(name))
        if kept is None:
            return None, 0
        record = json.loads(kept)
        return record["value"], self._clock.now_ms() - record["at"]


def _name(actor: str, site: str, words: str) -> str:
    return f"dr:lookup:{actor}:{site}:{' '.join(words.lower().split())}"
