"""Options that clients set once and that hold for their later requests, by caller, such as the model to use."""

from collections.abc import Mapping
from typing import Any, cast

from redis import Redis

from stores.redis.keys import client_options_key

# Without a request; each one extends it.
TTL_S = 90 * 86_400


class ClientOptions:
    """The options of all callers in one Redis. Values are texts."""

    def __init__(self, client: Redis) -> None:
        self._redis = client

    def read(self, owner: str) -> dict[str, str]:
        """Return the options that a caller has set."""
        key = client_options_key(owner)
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(key)
            pipeline.expire(key, TTL_S)
            stored = cast(dict[bytes, bytes], pipeline.execute()[0])
        return {name.decode(): value.decode() for name, value in stored.items()}

    def change(self, owner: str, options: Mapping[str, str | None]) -> None:
        """Set options; those that are None are removed."""
        key = client_options_key(owner)
        kept = {name: value for name, value in options.items() if value is not None}
        removed = [name for name, value in options.items() if value is None]
        with self._redis.pipeline(transaction=True) as pipeline:
            if kept:
                pipeline.hset(key, mapping=dict[Any, Any](kept))
            if removed:
                pipeline.hdel(key, *removed)
            pipeline.expire(key, TTL_S)
            pipeline.execute()
