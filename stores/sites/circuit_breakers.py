"""The reading of the sites' circuits, and the closing of one by hand.

A circuit is opened, tried and closed by the scripts of ``stores.jobs.attempts``. Read by ``api.pages.health``,
``api.sites.views`` and ``workers.clock.sweeper``.
"""

from dataclasses import dataclass
from typing import cast

from redis import Redis

from stores.redis.errors import redis_errors

STATE_FIELDS = ("failures", "openedAt", "retryAt", "code", "error")


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """A site's circuit: attempts in a row that blame the site, and, while it is open, since when, until when and why.

    Times are Unix milliseconds; after ``retry_at`` one job at a time is tried.
    """

    failures: int = 0
    opened_at: int | None = None
    retry_at: int | None = None
    code: str | None = None
    error: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether jobs of the site wait."""
        return self.retry_at is not None


class CircuitBreakers:
    """The circuits of one Redis."""

    def __init__(self, client: Redis) -> None:
        """``client`` answers bytes."""
        self._redis = client

    def read(self, sites: list[str]) -> dict[str, CircuitBreaker]:
        """The circuit of each site."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for site in sites:
                pipe.hmget(f"dr:site:{site}", STATE_FIELDS)
            rows = cast(list[list[bytes | None]], pipe.execute())
        return {site: _circuit(row) for site, row in zip(sites, rows, strict=True)}

    def get_paused_until(self, site: str) -> int:
        """When the next visit to the site may begin (ms); a time that has passed if it may at once."""
        with redis_errors():
            next_at = cast(bytes | None, self._redis.hget(f"dr:site:{site}", "nextAt"))
        return int(next_at or 0)

    def pause(self, site: str, until_ms: int) -> None:
        """Let no worker start a job of the site before that time, because the site has asked for it."""
        if self.get_paused_until(site) < until_ms:
            with redis_errors():
                self._redis.hset(f"dr:site:{site}", "nextAt", until_ms)

    def close(self, site: str) -> None:
        """Let jobs of the site start again, whatever happened before."""
        with redis_errors():
            self._redis.hdel(f"dr:site:{site}", *STATE_FIELDS, "delay", "canary")


def _circuit(row: list[bytes | None]) -> CircuitBreaker:
    failures, opened_at, retry_at, code, error = (None if value is None else value.decode() for value in row)
    return CircuitBreaker(
        failures=int(failures or 0),
        opened_at=int(opened_at) if opened_at else None,
        retry_at=int(retry_at) if retry_at else None,
        code=code,
        error=error,
    )
