"""Connections to Redis: timeouts, retries, Sentinel, and a connection pool without liveness checks."""

import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import ConnectionPool, Redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.commands.core import Script
from redis.connection import ConnectionInterface
from redis.exceptions import (  # redis-py's own name hides the builtin
    ConnectionError,  # noqa: A004
    NoScriptError,
    OutOfMemoryError,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from ops.infra.settings import SENTINEL_SCHEMES

SOCKET_TIMEOUT_S = 6.0
HEALTH_CHECK_INTERVAL_S = 30
DEFAULT_SENTINEL_PORT = 26379
MAX_CONNECTIONS = 256
NO_LIMIT = 2**31
# Beginnings of the error replies of a server whose disk is full, whose replicas are away, that is a replica itself, or
# that runs a long script.
WRITE_REFUSALS = ("MISCONF", "NOREPLICAS", "READONLY", "You can't write against a read only", "BUSY", "MASTERDOWN")
PIPELINE_SEPARATOR = " of pipeline caused error: "


def connect(url: str, *, retries: int = 3) -> Redis:
    """Return a client for ``url`` (one of ``setting_parsers.REDIS_SCHEMES``) that returns bytes.

    Pass ``retries=0`` where a command must not run twice because its response was lost.
    """
    backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.5) if retries else NoBackoff()
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": SOCKET_TIMEOUT_S,
        # A connection that only listens (pub/sub) would otherwise never notice that the server is gone.
        "health_check_interval": HEALTH_CHECK_INTERVAL_S,
        # Timeouts are not retried: a server that hangs should fail the request once, not several times.
        "retry": Retry(backoff, retries, supported_errors=(ConnectionError,)),
    }
    if urlsplit(url).scheme in SENTINEL_SCHEMES:
        return _connect_to_sentinel_master(url, options)
    pool_class = UncheckedConnectionPool if retries else ConnectionPool
    return Redis(connection_pool=pool_class.from_url(url, **options))


def _connect_to_sentinel_master(url: str, options: dict[str, Any]) -> Redis:
    """Return a client that asks the sentinels of ``url`` for the current master on every new connection.

    ``redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DB]``; user and password are the master's.
    ``sentinel_password`` in the query is the sentinels' own; all other query parameters are for the master.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    query = dict(parse_qsl(parts.query))
    sentinel_auth = {"password": query.pop("sentinel_password", None)}
    tls: dict[str, Any] = {"ssl": True} if parts.scheme.startswith("rediss") else {}
    # What the URL says about certificates holds for the sentinels too.
    sentinel_tls = tls | {name: value for name, value in query.items() if name.startswith("ssl_")}
    master_auth = {"username": unquote(user) or None, "password": unquote(password) or None}
    addresses = [_parse_sentinel_address(address) for address in hosts.split(",")]
    sentinel = Sentinel(
        addresses, sentinel_kwargs={**options, **sentinel_auth, **sentinel_tls}, **options, **master_auth, **tls
    )
    master = sentinel.master_for(service, db=int(database or 0), max_connections=NO_LIMIT, **query)
    return cast(Redis, master)


def _parse_sentinel_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if ":" in text.rpartition("]")[2] else (text, "", "")
    return host.strip("[]"), int(port or DEFAULT_SENTINEL_PORT)


def disconnect(client: Redis) -> None:
    """Close every connection of a client, including those to its sentinels."""
    pool = client.connection_pool
    pool.disconnect()
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            sentinel.close()


def refuses_writes(error: ResponseError) -> bool:
    """Whether the server is there and stores nothing at present; any other error is a bug in a command."""
    return isinstance(error, OutOfMemoryError) or server_message(error).startswith(WRITE_REFUSALS)


def server_message(error: ResponseError) -> str:
    """Return the server's own message; in a pipeline, redis-py puts the command before it."""
    return str(error).rpartition(PIPELINE_SEPARATOR)[2]


def run_script(client: Redis, script: Script, keys: Sequence[str], args: Sequence[str | int | bytes]) -> Any:
    """Run a script directly on a connection: redis-py's command bookkeeping takes as long as the command itself.

    If that fails, the script is run by redis-py with the client's retries, so it must tolerate being run twice.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_command("EVALSHA", script.sha, len(keys), *keys, *args)
        return connection.read_response()
    except (ConnectionError, NoScriptError):
        connection.disconnect()
    except BaseException:
        # The response is still on its way (a timeout or a killed greenlet); the next user of this connection must not
        # read it as its own.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
    return script(keys=keys, args=args)


class UncheckedConnectionPool(ConnectionPool):
    """A pool that assumes idle connections are alive, because a command on a dead one is retried anyway.

    redis-py's pool asks the operating system before each command, which costs the web process a quarter of its
    requests per second. It also raises when all connections are in use; this pool waits for a free one.
    """

    def __init__(self, **options: Any) -> None:
        """``options`` are those of redis-py's pool."""
        super().__init__(**options | {"max_connections": NO_LIMIT})
        self._idle: deque[ConnectionInterface] = deque()
        self._free_slots = threading.Semaphore(MAX_CONNECTIONS)

    def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> Any:
        """Return a connection for exclusive use until ``release``."""
        if self.pid != os.getpid():
            # After a fork the sockets belong to the parent.
            self.pid = os.getpid()
            self._idle.clear()
        if not self._free_slots.acquire(timeout=SOCKET_TIMEOUT_S):
            raise ConnectionError(f"No connection became free within {SOCKET_TIMEOUT_S:g} s.")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.make_connection()
        try:
            connection.connect()
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: ConnectionInterface) -> None:
        """Return a connection to the pool."""
        self._idle.append(connection)
        self._free_slots.release()

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT002 - redis-py's signature
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().disconnect()
