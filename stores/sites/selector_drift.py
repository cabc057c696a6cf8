"""Selector drift: which alternative of each selector matched in a site's last good run, and how that has changed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from stores.redis.keys import selector_drift_key, selector_matches_key

MAX_CHANGES = 20


@dataclass(frozen=True, slots=True)
class SelectorChange:
    """A selector that was matched by another alternative than before; stored in Redis by these names.

    ``place`` is the selector's first alternative, ``before`` and ``now`` are the alternatives that matched, ``at`` is
    the time in Unix milliseconds.
    """

    place: str
    before: str
    now: str
    at: int


class SelectorDrift:
    """The selector matches in one Redis."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._redis = client
        self._clock = clock

    def record(self, site: str, matched: Mapping[str, str]) -> list[SelectorChange]:
        """Store the matches of a successful run (first alternative -> matching one); return the changes."""
        before = self.get_matches(site)
        at = self._clock.now_ms()
        changes = [
            SelectorChange(first, before[first], now, at)
            for first, now in matched.items()
            if before.get(first, now) != now
        ]
        with self._redis.pipeline() as pipe:
            if matched:
                pipe.hset(selector_matches_key(site), items=[part for pair in matched.items() for part in pair])
            for change in changes:
                pipe.lpush(selector_drift_key(site), json.dumps(asdict(change)))
            pipe.ltrim(selector_drift_key(site), 0, MAX_CHANGES - 1)
            pipe.execute()
        return changes

    def list_changes(self, site: str) -> list[SelectorChange]:
        """Return the last changes of a site, the newest first."""
        rows = cast(list[bytes], self._redis.lrange(selector_drift_key(site), 0, -1))
        return [SelectorChange(**json.loads(row)) for row in rows]

    def get_matches(self, site: str) -> dict[str, str]:
        """Return the alternative that matched last, by the selector's first alternative."""
        matches = cast(dict[bytes, bytes], self._redis.hgetall(selector_matches_key(site)))
        return {first.decode(): matched.decode() for first, matched in matches.items()}
