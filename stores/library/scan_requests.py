"""Requests for library scans, and the progress of scans: a list of requests and a stream of events in Redis.

A request that several processes answer, each for its folders, is in a hash until the last of them has.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.client import Pipeline

from ops.infra.clock import Clock
from stores.redis.keys import CHANGES_CHANNEL, SCAN_EVENTS, SCAN_REQUESTS, SCAN_SHARES, SCAN_STATUS

# The topic of scans in ``stores.redis.pubsub``, in place of a job id.
TOPIC = "library"
MAX_REQUESTS = 100
MAX_EVENTS = 500
STREAM_START = "0-0"


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A requested scan; with ``full`` every file is read again."""

    id: str
    full: bool

    def to_json(self) -> str:
        """Return the entry for the list of requests."""
        return json.dumps({"id": self.id, "full": self.full})


@dataclass(frozen=True, slots=True)
class SharedRequest:
    """A request, and the folders that are still to be scanned for it.

    Each folder has the time of the last sign of life of its process, or that at which the request was shared.
    """

    request: ScanRequest
    waiting: dict[str, int]


class ScanRequests:
    """Requests for scans and events of scans."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        """``client`` must return bytes."""
        self._redis = client
        self._clock = clock

    def request(self, *, full: bool) -> str:
        """Request a scan and return its id; a pending request that covers it is not repeated, its id is returned."""
        new = ScanRequest(secrets.token_hex(8), full)
        pending = [ScanRequest(**json.loads(entry)) for entry in self._entries()]
        # If it is claimed right now, its scan still begins after this request.
        if same := next((request for request in pending if request.full or not full), None):
            return same.id
        with self._redis.pipeline() as pipe:
            pipe.rpush(SCAN_REQUESTS, new.to_json())
            pipe.ltrim(SCAN_REQUESTS, -MAX_REQUESTS, -1)
            pipe.execute()
        return new.id

    def _entries(self) -> list[bytes]:
        return cast(list[bytes], self._redis.lrange(SCAN_REQUESTS, 0, -1))

    def requeue(self, requests: Sequence[ScanRequest]) -> None:
        """Put claimed requests back, for another process to claim."""
        self._redis.lpush(SCAN_REQUESTS, *(request.to_json() for request in requests))

    def claim(self, timeout_s: float) -> list[ScanRequest]:
        """Take all pending requests; wait for one for up to ``timeout_s``."""
        first = cast(tuple[bytes, bytes] | None, self._redis.blpop([SCAN_REQUESTS], timeout=timeout_s))
        if first is None:
            return []
        more = cast(list[bytes] | None, self._redis.lpop(SCAN_REQUESTS, MAX_REQUESTS)) or []
        return [ScanRequest(**json.loads(entry)) for entry in (first[1], *more)]

    def share(self, request: ScanRequest, folders: frozenset[str]) -> None:
        """Have the folders of several processes scanned for one request."""
        entry = {"full": request.full, "waiting": dict.fromkeys(folders, self._clock.now_ms()), "figures": {}}
        self._redis.hset(SCAN_SHARES, request.id, json.dumps(entry))

    def list_shared(self) -> list[SharedRequest]:
        """Return the shared requests that are not answered yet."""
        found = []
        for scan_id, text in cast(dict[bytes, bytes], self._redis.hgetall(SCAN_SHARES)).items():
            entry = json.loads(text)
            request = ScanRequest(scan_id.decode(), entry["full"])
            found.append(SharedRequest(request, entry["waiting"]))
        return found

    def renew_shares(self, folders: frozenset[str]) -> None:
        """Note that the processes of these folders live, and will scan them for all requests that wait for them."""

        def renew(pipe: Pipeline) -> None:
            shares = cast(dict[bytes, bytes], pipe.hgetall(SCAN_SHARES))
            now_ms = self._clock.now_ms()
            pipe.multi()
            for scan_id, entry in ((scan_id, json.loads(text)) for scan_id, text in shares.items()):
                if living := folders.intersection(entry["waiting"]):
                    entry["waiting"] |= dict.fromkeys(living, now_ms)
                    pipe.hset(SCAN_SHARES, scan_id, json.dumps(entry))

        self._redis.transaction(renew, SCAN_SHARES)

    def finish_share(self, scan_id: str, folders: frozenset[str], figures: Mapping[str, Any]) -> dict[str, Any] | None:
        """Note that folders have been scanned, and with which figures.

        With the last ones, the sum of all figures is published and returned.
        """

        def finish(pipe: Pipeline) -> dict[str, Any] | None:
            text = cast(bytes | None, pipe.hget(SCAN_SHARES, scan_id))
            pipe.multi()
            if text is None:
                return None
            entry = json.loads(text)
            waiting = {folder: at for folder, at in entry["waiting"].items() if folder not in folders}
            numbers = {name: value for name, value in figures.items() if isinstance(value, int)}
            total = dict(Counter(entry["figures"]) + Counter(numbers))
            if waiting:
                pipe.hset(SCAN_SHARES, scan_id, json.dumps(entry | {"waiting": waiting, "figures": total}))
                return None
            # Together, so that the end is not lost with a process that dies in between.
            pipe.hdel(SCAN_SHARES, scan_id)
            done = {"id": scan_id, "state": "done", **figures, **total}
            self._add_event(pipe, done)
            return done

        # The types of redis-py know no result.
        run = cast(Callable[..., dict[str, Any] | None], self._redis.transaction)
        return run(finish, SCAN_SHARES, value_from_callable=True)

    def publish(self, progress: Mapping[str, Any]) -> None:
        """Publish the progress of a scan: ``id``, ``state`` and figures."""
        with self._redis.pipeline() as pipe:
            self._add_event(pipe, progress)
            pipe.execute()

    def _add_event(self, pipe: Pipeline, progress: Mapping[str, Any]) -> None:
        event = json.dumps({"time": self._clock.now_ms(), **progress})
        pipe.set(SCAN_STATUS, event)
        pipe.xadd(SCAN_EVENTS, {"news": event}, maxlen=MAX_EVENTS, approximate=True)
        pipe.publish(CHANGES_CHANNEL, f"{TOPIC} 0 {TOPIC}")

    def latest(self) -> dict[str, Any] | None:
        """Return the last event; None if there never was a scan."""
        event = cast(bytes | None, self._redis.get(SCAN_STATUS))
        return json.loads(event) if event else None

    def last_event_id(self) -> str:
        """Return the id of the last event in the stream."""
        last = cast(list[tuple[bytes, Any]], self._redis.xrevrange(SCAN_EVENTS, count=1))
        return last[0][0].decode() if last else STREAM_START

    def read_events(self, after_id: str, wait_s: float = 0) -> list[tuple[str, dict[str, Any]]]:
        """Return ids and events after an id; wait for one for up to ``wait_s``."""
        response = self._redis.xread({SCAN_EVENTS: after_id}, block=round(wait_s * 1000) or None)
        return [(event_id.decode(), json.loads(fields[b"news"])) for event_id, fields in _stream_entries(response)]


def _stream_entries(response: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return the entries of the only stream: RESP2 and RESP3, and versions of redis-py, nest them differently."""
    if not response:
        return []
    entries = next(iter(response.values())) if isinstance(response, dict) else response[0][1]
    is_nested = entries and isinstance(entries[0], list) and isinstance(entries[0][0], list | tuple)
    return cast(list[tuple[bytes, dict[bytes, bytes]]], entries[0] if is_nested else entries)
