"""Translation of redis-py's exceptions into the project's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from ops.infra.logging import describe_error
from ops.infra.redis import refuses_writes, server_message
from ops.infra.redis_check import is_refusal
from schemas.errors import Unavailable

RETRY_AFTER_S = 2


@contextmanager
def redis_errors(setting: str = "REDIS_URL") -> Iterator[None]:
    """Raise Unavailable where Redis cannot serve; other exceptions are bugs and pass unchanged.

    ``setting`` names the database, for those messages that advise to change it.
    """
    try:
        yield
    except redis.RedisError as error:
        if unavailable := translate(error, setting):
            raise unavailable from error
        raise


def translate(error: redis.RedisError, setting: str = "REDIS_URL") -> Unavailable | None:
    """Return what an error means to callers; None if it is a bug. ``setting`` is as in ``redis_errors``."""
    if isinstance(error, redis.exceptions.OutOfMemoryError):
        return _unavailable("Redis is full and stores nothing more.", error)
    if isinstance(error, redis.AuthenticationError):
        return _unavailable("Redis refuses the user name or password in its URL.", error)
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return _unavailable("Redis does not answer.", error)
    return _translate_reply(error, setting) if isinstance(error, redis.ResponseError) else None


def _translate_reply(error: redis.ResponseError, setting: str) -> Unavailable | None:
    if is_refusal(error):
        return Unavailable(f"{setting}: the server refuses the database or a command: {server_message(error)}")
    if refuses_writes(error):
        return Unavailable(f"Redis refuses writes: {server_message(error)}", retry_after_s=RETRY_AFTER_S)
    return None


def _unavailable(message: str, error: redis.RedisError) -> Unavailable:
    return Unavailable(message, retry_after_s=RETRY_AFTER_S, reason=describe_error(error))
