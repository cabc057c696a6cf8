"""Circuit breakers of sites: reading, pausing, and closing by hand.

The Lua script behind each end of an attempt opens and closes them (``record_site_result`` in ``endings.lua``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from stores.redis.keys import CHANGES_CHANNEL, OPEN_CIRCUITS, QUEUE_MOVED, RESTING_SITES, site_key
from stores.redis.scripts import Scripts

STATE_FIELDS = ("failures", "openedAt", "retryAt", "code", "error")


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """The state of a site's circuit breaker; times are Unix milliseconds.

    ``failures`` counts failed attempts in a row. While the circuit is open no job of the site starts until
    ``retry_at``, and after that one at a time, until one succeeds. ``code`` and ``error`` are the last failure's.
    """

    failures: int = 0
    opened_at: int | None = None
    retry_at: int | None = None
    code: str | None = None
    error: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open."""
        return self.retry_at is not None


class CircuitBreakers:
    """The circuit breakers of one Redis."""

    def __init__(self, client: Redis, scripts: Scripts, *, is_shared: bool = False) -> None:
        """``is_shared`` if other servers have jobs of the same sites."""
        self._is_shared = is_shared or None
        self._redis = client
        self._scripts = scripts

    def read(self, sites: list[str]) -> dict[str, CircuitBreaker]:
        """Return the circuit breaker of each site."""
        with self._redis.pipeline(transaction=False) as pipe:
            for site in sites:
                pipe.hmget(site_key(site), STATE_FIELDS)
            rows = cast(list[list[bytes | None]], pipe.execute())
        return {site: _decode(row) for site, row in zip(sites, rows, strict=True)}

    def remaining_pause_ms(self, site: str) -> int:
        """Return how long it takes until the next visit of the site may begin."""
        return int(self._scripts.run("remaining_pause", {"site": site})[0])

    def is_paused(self, site: str) -> bool:
        """Whether the site has asked for a pause that has not ended yet."""
        return int(self._scripts.run("remaining_pause", {"site": site})[1]) > 0

    def reserve_visit(self, site: str, interval_ms: int, max_wait_ms: int) -> int:
        """Take the next turn to visit the site, and return how long it takes until the visit may begin.

        If that is longer than ``max_wait_ms``, no turn was taken. The turn after it is ``interval_ms`` later. It is -1
        while another of several servers may visit the site; this one gets its turn if it asks again.
        """
        arguments = {"site": site, "interval_ms": interval_ms, "max_wait_ms": max_wait_ms, "shared": self._is_shared}
        return int(self._scripts.run("reserve_visit", arguments))

    def pause(self, site: str, pause_ms: int) -> None:
        """Start no job of the site for a while, because the site asked for a pause; never shortens a pause."""
        self._scripts.run("pause_site", {"site": site, "pause_ms": pause_ms})

    def open_as(self, site: str, circuit: Mapping[str, str]) -> None:
        """Open the circuit, or change it, as it is on another server: fields of ``keys.site_key``."""
        with self._redis.pipeline() as pipe:
            pipe.hset(site_key(site), mapping=dict[Any, Any](circuit))
            pipe.sadd(OPEN_CIRCUITS, site)
            pipe.publish(CHANGES_CHANNEL, QUEUE_MOVED)
            pipe.execute()

    def close(self, site: str) -> None:
        """Close the circuit and reset its count of failures."""
        with self._redis.pipeline() as pipe:
            pipe.hdel(site_key(site), *STATE_FIELDS, "delay", "canary")
            pipe.srem(OPEN_CIRCUITS, site)
            # The next claim looks at the site again.
            pipe.zadd(RESTING_SITES, {site: 0}, xx=True)
            pipe.publish(CHANGES_CHANNEL, QUEUE_MOVED)
            pipe.execute()


def _decode(row: list[bytes | None]) -> CircuitBreaker:
    failures, opened_at, retry_at, code, error = (None if value is None else value.decode() for value in row)
    return CircuitBreaker(
        failures=int(failures or 0),
        opened_at=int(opened_at) if opened_at else None,
        retry_at=int(retry_at) if retry_at else None,
        code=code,
        error=error,
    )
