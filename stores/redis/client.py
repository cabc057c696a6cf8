"""The Redis client of all stores: commands and pipelines raise Unavailable where Redis cannot serve.

Subscriptions (``pubsub()``) and scripts run by ``ops.infra.redis.run_script`` still raise redis-py's own exceptions.
"""

import time
from types import TracebackType
from typing import Any

from redis import Redis, RedisError
from redis.client import Pipeline

from ops.infra.redis import connect, disconnect
from ops.infra.setting_parsers import split_redis_urls
from schemas.errors import Unavailable
from stores.redis.errors import translate

# Longer than a call that times out (``ops.infra.redis``) and the pause before the next one
# (``stores.queue.process_monitor``).
DOWN_S = 8.0


class Availability:
    """Whether the last call of a client was answered. As a context manager it observes one call, in any thread."""

    def __init__(self) -> None:
        self._failed_at: float | None = None

    @property
    def is_down(self) -> bool:
        """Whether a call has failed a moment ago, and none has been answered since."""
        return self._failed_at is not None and time.monotonic() - self._failed_at < DOWN_S

    def __enter__(self) -> None:
        """Begin a call."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """End a call: remember whether it was answered, and translate its error as ``redis_errors`` does."""
        if error is None:
            self._failed_at = None
            return
        if isinstance(error, Unavailable):
            self._failed_at = time.monotonic()
        elif isinstance(error, RedisError) and (unavailable := translate(error)):
            self._failed_at = time.monotonic()
            raise unavailable from error


class StoreClient(Redis):
    """A client that answers bytes and translates errors."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take the arguments of redis-py's client."""
        super().__init__(*args, **options)
        self.availability = Availability()

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command; raises Unavailable."""
        with self.availability:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # redis-py leaves it untyped

    def is_up(self) -> bool:
        """Whether the server answers; one that has just let a call wait in vain is not asked again."""
        if self.availability.is_down:
            return False
        try:
            self.ping()
        except Unavailable:
            return False
        return True

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:  # noqa: FBT002 - redis-py's signature
        """Return a pipeline that raises Unavailable."""
        pipeline = _StorePipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.availability = self.availability
        return pipeline


class _StorePipeline(Pipeline):
    availability: Availability

    def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT002 - redis-py's signature
        with self.availability:
            return super().execute(raise_on_error)

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Run WATCH and what follows it before MULTI; raises Unavailable."""
        with self.availability:
            return super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call] # redis-py leaves it untyped


def open_client(url: str, *, retries: int = 3) -> StoreClient:
    """Return a client for ``url``; see ``ops.infra.redis.connect``."""
    return StoreClient(connection_pool=connect(url, retries=retries).connection_pool)


def open_any_client(urls: str, *, retries: int = 3) -> StoreClient:
    """Return a client for the first server that answers of REDIS_URL's; for the first one if none does."""
    first, *others = [open_client(url, retries=retries) for url in split_redis_urls(urls)]
    chosen = first
    for client in (first, *others) if others else ():
        try:
            client.ping()
        except Unavailable:
            continue
        chosen = client
        break
    for client in (first, *others):
        if client is not chosen:
            disconnect(client)
    return chosen
