"""The Redis client of all stores: commands and pipelines raise Unavailable where Redis cannot serve.

Subscriptions (``pubsub()``) and scripts run by ``ops.infra.redis.run_script`` still raise redis-py's own exceptions.
"""

from typing import Any

from redis import Redis
from redis.client import Pipeline

from ops.infra.redis import connect
from stores.redis.errors import redis_errors


class StoreClient(Redis):
    """A client that answers bytes and translates errors."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command; raises Unavailable."""
        with redis_errors():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # redis-py leaves it untyped

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:  # noqa: FBT002 - redis-py's signature
        """Return a pipeline whose ``execute`` raises Unavailable."""
        return _StorePipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _StorePipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT002 - redis-py's signature
        with redis_errors():
            return super().execute(raise_on_error)


def open_client(url: str, *, retries: int = 3) -> StoreClient:
    """Return a client for ``url``; see ``ops.infra.redis.connect``."""
    return StoreClient(connection_pool=connect(url, retries=retries).connection_pool)
