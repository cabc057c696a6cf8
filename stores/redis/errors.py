"""Translation of redis-py's exceptions into the project's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from schemas.errors import Unavailable

RETRY_AFTER_S = 2
# Beginnings of the error replies of a server whose disk is full, whose replicas are away, that is a replica itself, or
# that runs a long script.
WRITE_REFUSALS = ("MISCONF", "NOREPLICAS", "READONLY", "You can't write against a read only", "BUSY", "MASTERDOWN")


@contextmanager
def redis_errors() -> Iterator[None]:
    """Raise Unavailable where Redis cannot serve; other exceptions are bugs and pass unchanged."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise Unavailable("Redis is full and stores nothing more.", retry_after_s=RETRY_AFTER_S) from error
    except redis.AuthenticationError as error:
        raise Unavailable("Redis refuses the user name or password in its URL.", retry_after_s=RETRY_AFTER_S) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Unavailable("Redis does not answer.", retry_after_s=RETRY_AFTER_S) from error
    except redis.ResponseError as error:
        if not str(error).startswith(WRITE_REFUSALS):
            raise
        raise Unavailable(f"Redis refuses writes: {error}", retry_after_s=RETRY_AFTER_S) from error
