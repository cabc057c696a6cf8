"""What is asked of a site's page while somebody waits: a question, its cached answer, and the wait between."""

import json
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from ops.infra.clock import Clock
from stores.queue.messages import Queue
from stores.redis.scripts import redis_errors

RETENTION_S = 86_400
PENDING_TTL_S = 20
FAILURE_TTL_S = 10


class SiteQueries:
    """Questions to sites, answered by workers."""

    def __init__(self, client: Redis, queue: Queue, clock: Clock) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._queue = queue
        self._clock = clock

    def ask(self, actor: str, site: str, query: str, *, max_age_s: int, timeout_s: float) -> tuple[Any, bool]:
        """The answer to a question and whether it is fresh; an old one, or None, if the site takes too long."""
        name = _name(actor, site, query)
        answer, age_ms = self._cached(name)
        if answer is not None and age_ms < max_age_s * 1000:
            return answer, True
        if timeout_s <= 0:
            return answer, False
        if self._is_first(name):
            newer, age_ms = self._cached(name)
            if newer is not None and age_ms < max_age_s * 1000:
                # It was answered between our look and our turn to ask: others may still wait for the mark we wiped.
                self._wake(name, asked_again_in_s=0)
                return newer, True
            self._queue.send(actor, site, query)
        with redis_errors(), self._redis.pipeline() as pipe:
            if self._redis.blpop([f"{name}:ready"], timeout=timeout_s) is not None:
                # The mark is for everybody: each puts it back for the next.
                _mark_ready(pipe, name)
                pipe.execute()
        newer, age_ms = self._cached(name)
        return (newer, True) if newer is not None and age_ms < max_age_s * 1000 else (answer, False)

    def _is_first(self, name: str) -> bool:
        """Whether nobody has asked and waits yet; a mark of an earlier answer is wiped then."""
        with redis_errors():
            first = bool(self._redis.set(f"{name}:asked", b"", nx=True, ex=PENDING_TTL_S))
            if first:
                self._redis.delete(f"{name}:ready")
        return first

    def store_answer(self, actor: str, site: str, query: str, value: Any) -> None:
        """Keep an answer and wake everybody who waits for it."""
        name = _name(actor, site, query)
        kept = json.dumps({"at": self._clock.now_ms(), "value": value})
        with redis_errors():
            self._redis.set(name, kept, ex=RETENTION_S)
        self._wake(name, asked_again_in_s=0)

    def report_failure(self, actor: str, site: str, query: str) -> None:
        """The site did not answer: wake who waits, so that they go on with what there is."""
        self._wake(_name(actor, site, query), asked_again_in_s=FAILURE_TTL_S)

    def _wake(self, name: str, *, asked_again_in_s: int) -> None:
        with redis_errors(), self._redis.pipeline() as pipe:
            _mark_ready(pipe, name)
            pipe.expire(f"{name}:asked", asked_again_in_s)
            pipe.execute()

    def _cached(self, name: str) -> tuple[Any, int]:
        with redis_errors():
            kept = cast(bytes | None, self._redis.get(name))
        if kept is None:
            return None, 0
        record = json.loads(kept)
        return record["value"], self._clock.now_ms() - record["at"]


def _mark_ready(pipe: Pipeline, name: str) -> None:
    pipe.rpush(f"{name}:ready", b"")
    pipe.expire(f"{name}:ready", FAILURE_TTL_S)


def _name(actor: str, site: str, words: str) -> str:
    return f"dr:lookup:{actor}:{site}:{' '.join(words.lower().split())}"
