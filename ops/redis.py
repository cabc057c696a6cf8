"""Owns how connections to Redis are made: timeouts, retries and names.

Called by ``stores.open_stores`` and ``ops.broker``; nothing else opens a connection.
"""

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT_S = 6.0


def connect(url: str, *, retries: int = 3) -> Redis:
    """A client for ``url`` (``redis://``, ``rediss://`` or ``unix://``) that answers bytes.

    ``retries`` is 0 where a command must not run twice because its answer was lost.
    """
    backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.5) if retries else NoBackoff()
    return Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        health_check_interval=30,
        retry=Retry(backoff, retries),
    )
