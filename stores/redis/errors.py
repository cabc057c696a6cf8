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
    except redis.exceptions.OutOfMemoryError as error:
        raise _unavailable("Redis is full and stores nothing more.", error) from error
    except redis.AuthenticationError as error:
        raise _unavailable("Redis refuses the user name or password in its URL.", error) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise _unavailable("Redis does not answer.", error) from error
    except redis.ResponseError as error:
        if is_refusal(error):
            reply = server_message(error)
            raise Unavailable(f"{setting}: the server refuses the database or a command: {reply}") from error
        if not refuses_writes(error):
            raise
        raise Unavailable(f"Redis refuses writes: {server_message(error)}", retry_after_s=RETRY_AFTER_S) from error


def _unavailable(message: str, error: redis.RedisError) -> Unavailable:
    return Unavailable(message, retry_after_s=RETRY_AFTER_S, reason=describe_error(error))
