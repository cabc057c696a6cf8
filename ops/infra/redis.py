"""How connections to Redis are made: timeouts, retries and names."""

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
from redis.exceptions import ConnectionError, NoScriptError  # noqa: A004 - redis-py's own names
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from ops.infra.settings import SENTINEL_SCHEMES

SOCKET_TIMEOUT_S = 6.0
HEALTH_CHECK_INTERVAL_S = 30
DEFAULT_SENTINEL_PORT = 26379
MAX_CONNECTIONS = 256
NO_LIMIT = 2**31


def connect(url: str, *, retries: int = 3) -> Redis:
    """A client for ``url``, one of ``ops.infra.settings.REDIS_SCHEMES``, that answers bytes.

    ``retries`` is 0 where a command must not run twice because its answer was lost.
    """
    backoff = ExponentialWithJitterBackoff(base=0.02, cap=0.5) if retries else NoBackoff()
    options: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": SOCKET_TIMEOUT_S,
        # Who only listens would else never notice that the other side is gone.
        "health_check_interval": HEALTH_CHECK_INTERVAL_S,
        # Who has waited for an answer in vain does not wait once more: a server that hangs is told to the client.
        "retry": Retry(backoff, retries, supported_errors=(ConnectionError,)),
    }
    if urlsplit(url).scheme in SENTINEL_SCHEMES:
        return _connect_to_sentinel_master(url, options)
    pool_class = UncheckedConnectionPool if retries else ConnectionPool
    return Redis(connection_pool=pool_class.from_url(url, **options))


def _connect_to_sentinel_master(url: str, options: dict[str, Any]) -> Redis:
    """A client of the master that the sentinels of ``url`` name, whichever it is now.

    ``redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DB]``; user and password are the master's.
    ``sentinel_password`` in the query is the sentinels' own; all else there is for the connection to the master.
    """
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    query = dict(parse_qsl(parts.query))
    own = {"password": query.pop("sentinel_password", None)}
    tls = {"ssl": True} if parts.scheme.startswith("rediss") else {}
    secret = {"username": unquote(user) or None, "password": unquote(password) or None}
    addresses = [_parse_sentinel_address(one) for one in hosts.split(",")]
    sentinel = Sentinel(addresses, sentinel_kwargs={**options, **own, **tls}, **options, **secret, **tls)
    many = {"max_connections": NO_LIMIT}
    return cast(Redis, sentinel.master_for(service, db=int(database or 0), **many, **query))


def disconnect(client: Redis) -> None:
    """Close every connection of a client, those to its sentinels too."""
    pool = client.connection_pool
    pool.disconnect()
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            sentinel.close()


def _parse_sentinel_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if ":" in text.rpartition("]")[2] else (text, "", "")
    return host.strip("[]"), int(port or DEFAULT_SENTINEL_PORT)


def run_script(client: Redis, script: Script, keys: Sequence[str], args: Sequence[str | int | bytes]) -> Any:
    """What a script answers, without redis-py's bookkeeping around a command, which takes as long as the command.

    Where that fails redis-py runs it, with the client's retries; so the script must bear being run twice.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_command("EVALSHA", script.sha, len(keys), *keys, *args)
        return connection.read_response()
    except (ConnectionError, NoScriptError):
        connection.disconnect()
    except BaseException:
        # Whatever cut this short, nobody must read what was meant for us.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
    return script(keys=keys, args=args)


class UncheckedConnectionPool(ConnectionPool):
    """A pool that takes an idle connection to be alive, since a command that finds it dead is tried again.

    redis-py's own asks the operating system before each command, which costs the front a quarter of its requests; and
    it refuses whoever finds every connection in use, while here one waits for the next that is given back.
    """

    def __init__(self, **options: Any) -> None:
        """``options`` are those of redis-py's pool."""
        super().__init__(**options | {"max_connections": NO_LIMIT})
        self._idle: deque[ConnectionInterface] = deque()
        self._free_slots = threading.Semaphore(MAX_CONNECTIONS)

    def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> Any:
        """A connection that nobody else uses."""
        if self.pid != os.getpid():
            self.pid = os.getpid()
            self._idle.clear()
        if not self._free_slots.acquire(timeout=SOCKET_TIMEOUT_S):
            raise ConnectionError("Every connection has been in use for too long.")
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
        """Give a connection back."""
        self._idle.append(connection)
        self._free_slots.release()

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT002 - redis-py's signature
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().disconnect()
