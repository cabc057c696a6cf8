"""Translation of redis-py's exceptions into the project's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from ops.infra.redis_check import is_refusal
from schemas.errors import Unavailable

RETRY_AFTER_S = 2
# Beginnings of the error replies of a server whose disk is full, whose replicas are away, that is a replica itself, or
# that runs a long script.
WRITE_REFUSALS = ("MISCONF", "NOREPLICAS", "READONLY", "You can't write against a read only", "BUSY", "MASTERDOWN")
PIPELINE_SEPARATOR = " of pipeline caused error: "


@contextmanager
def redis_errors(setting: str = "REDIS_URL") -> Iterator[None]:
    """Raise Unavailable where Redis cannot serve; other exceptions are bugs and pass unchanged.

    ``setting`` names the database, for those messages that advise to change it.
    """
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise Unavailable("Redis is full and stores nothing more.", retry_after_s=RETRY_AFTER_S) from error
    except redis.AuthenticationError as error:
        raise Unavailable("Redis refuses the user name or password in its URL.", retry_after_s=RETRY_AFTER_S) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Unavailable("Redis does not answer.", retry_after_s=RETRY_AFTER_S) from error
    except redis.ResponseError as error:
        # In a pipeline, redis-py puts the command and "caused error: " before the server's words.
        reply = str(error).rpartition(PIPELINE_SEPARATOR)[2]
        if is_refusal(error):
            raise Unavailable(f"{setting}: the server refuses the database or a command: {reply}") from error
        if not reply.startswith(WRITE_REFUSALS):
            raise
        raise Unavailable(f"Redis refuses writes: {reply}", retry_after_s=RETRY_AFTER_S) from error
