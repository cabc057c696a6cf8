"""What is asked of whoever looks after the model library, and what is told of its scans as they go on.

The library itself is in ``stores.library``.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from ops.infra.clock import Clock
from stores.redis.errors import redis_errors
from stores.redis.keys import CHANGES_CHANNEL

REQUESTS, LATEST, EVENTS = "dr:library:wanted", "dr:library:scan", "dr:library:events"
# What is waited for in ``stores.redis.pubsub``, among the ids of jobs.
TOPIC = "library"
MAX_REQUESTS = 100
MAX_EVENTS = 500
STREAM_START = "0-0"


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A scan that somebody asks for; ``full`` reads every file again."""

    id: str
    full: bool


class ScanRequests:
    """Questions and news over Redis."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock

    def request(self, *, full: bool) -> str:
        """Ask for a scan; its id. Several that wait become one: who asks for what is asked for already gets its id."""
        ident = secrets.token_hex(8)
        with redis_errors():
            waiting = [ScanRequest(**json.loads(one)) for one in cast(list[bytes], self._redis.lrange(REQUESTS, 0, -1))]
            # Should it be taken this moment, then it begins after this question all the same.
            if same := next((one for one in waiting if one.full or not full), None):
                return same.id
            with self._redis.pipeline() as pipe:
                pipe.rpush(REQUESTS, json.dumps({"id": ident, "full": full}))
                pipe.ltrim(REQUESTS, -MAX_REQUESTS, -1)
                pipe.execute()
        return ident

    def requeue(self, requests: Sequence[ScanRequest]) -> None:
        """Let another scan for those who asked."""
        with redis_errors():
            self._redis.lpush(REQUESTS, *(json.dumps({"id": one.id, "full": one.full}) for one in requests))

    def claim(self, timeout_s: float) -> list[ScanRequest]:
        """All that is asked for, as soon as there is something; nothing after ``timeout_s``."""
        with redis_errors():
            first = cast(tuple[bytes, bytes] | None, self._redis.blpop([REQUESTS], timeout=timeout_s))
            if first is None:
                return []
            more = cast(list[bytes] | None, self._redis.lpop(REQUESTS, MAX_REQUESTS)) or []
        return [ScanRequest(**json.loads(one)) for one in (first[1], *more)]

    def publish(self, progress: Mapping[str, Any]) -> None:
        """Say how far a scan is: ``id``, ``state`` and figures."""
        news = json.dumps({"time": self._clock.now_ms(), **progress})
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.set(LATEST, news)
            pipe.xadd(EVENTS, {"news": news}, maxlen=MAX_EVENTS, approximate=True)
            pipe.publish(CHANGES_CHANNEL, f"{TOPIC} 0 {TOPIC}")
            pipe.execute()

    def latest(self) -> dict[str, Any] | None:
        """What was told last; None if nothing ever was."""
        with redis_errors():
            kept = cast(bytes | None, self._redis.get(LATEST))
        return json.loads(kept) if kept else None

    def last_event_id(self) -> str:
        """Where the events end now."""
        with redis_errors():
            last = cast(list[tuple[bytes, Any]], self._redis.xrevrange(EVENTS, count=1))
        return last[0][0].decode() if last else STREAM_START

    def read_events(self, after_id: str, wait_s: float = 0) -> list[tuple[str, dict[str, Any]]]:
        """What was told after a place, each with its own; waits for something for so long at the most."""
        with redis_errors():
            found = self._redis.xread({EVENTS: after_id}, block=round(wait_s * 1000) or None)
        entries = cast(list[tuple[bytes, dict[bytes, bytes]]], _entries(found))
        return [(place.decode(), json.loads(entry[b"news"])) for place, entry in entries]


def _entries(found: Any) -> list[Any]:
    """The entries of the one stream, in whichever form the client gives them."""
    if not found:
        return []
    streams = list(found.values()) if isinstance(found, dict) else [entries for _, entries in found]
    entries = streams[0]
    return (
        entries[0] if entries and isinstance(entries[0], list) and isinstance(entries[0][0], (list, tuple)) else entries
    )
