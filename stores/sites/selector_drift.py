"""By which alternatives each site's page was found the last time all went well, and what has changed since."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from stores.redis.errors import redis_errors

MAX_CHANGES = 20


@dataclass(frozen=True, slots=True)
class SelectorChange:
    """A place of the recipe, by its first alternative, with the alternatives that found it before and now.

    ``at`` is when that was noticed, in Unix milliseconds.
    """

    place: str
    before: str
    now: str
    at: int


class SelectorDrift:
    """The alternatives of one Redis."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock

    def record(self, site: str, matched: Mapping[str, str]) -> list[SelectorChange]:
        """Remember a good run; what was found differently from the last one."""
        before = self.get_matches(site)
        pairs = [(place, before.get(place, now), now) for place, now in matched.items()]
        at = self._clock.now_ms()
        changes = [SelectorChange(place, old, now, at) for place, old, now in pairs if old != now]
        with redis_errors(), self._redis.pipeline() as pipe:
            if matched:
                pipe.hset(f"dr:matched:{site}", items=[part for pair in matched.items() for part in pair])
            for change in changes:
                pipe.lpush(f"dr:drift:{site}", json.dumps(asdict(change)))
            pipe.ltrim(f"dr:drift:{site}", 0, MAX_CHANGES - 1)
            pipe.execute()
        return changes

    def list_changes(self, site: str) -> list[SelectorChange]:
        """The last changes of a site's page, the newest first."""
        with redis_errors():
            kept = cast(list[bytes], self._redis.lrange(f"dr:drift:{site}", 0, -1))
        return [SelectorChange(**json.loads(one)) for one in kept]

    def get_matches(self, site: str) -> dict[str, str]:
        """Of each place, by its first alternative, the one that found it last."""
        with redis_errors():
            kept = cast(dict[bytes, bytes], self._redis.hgetall(f"dr:matched:{site}"))
        return {place.decode(): matched.decode() for place, matched in kept.items()}
