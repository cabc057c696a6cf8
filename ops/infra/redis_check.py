"""Checks that REDIS_URL and BROKER_URL can be used: credentials, certificate, number of the database, permissions.

A server that does not answer is no wrong setting: processes wait for it. What no waiting mends is reported before a
process starts, in one sentence that names the setting.
"""

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ops.infra.logging import describe_error
from ops.infra.redis import connect, disconnect
from ops.infra.setting_parsers import SettingsError, UnreachableError
from ops.infra.settings import Settings

# Beginnings and parts of error replies for permanent errors. The first lacks "ERR", which redis-py removes.
NO_DATABASE = ("DB index is out of range", "SELECT is not allowed", "invalid DB index", "value is out of range")
NO_PERMISSION = ("no permissions", "No permissions", "ACL failure", "can't run this command", "can't access at least")
CERTIFICATE_ERROR = "CERTIFICATE_VERIFY_FAILED"
# Both databases need these: scripts that write, and lists.
PROBE_LUA = "redis.call('rpush', KEYS[1], '1') redis.call('del', KEYS[1]) return 1"
JOBS_PROBE_KEY, QUEUE_PROBE_KEYS = "dr:probe", ("dramatiq:probe", "bell:probe")
CHANNEL = "dr:probe"

log = structlog.get_logger(__name__)


def check_redis(settings: Settings) -> None:
    """Check both URLs on behalf of a process that is about to start; a server that does not answer passes.

    Raises:
        SettingsError: a URL cannot be used; the message names the setting and what to do.
    """
    servers = settings.redis_servers
    for server in servers:
        for check, url in ((check_jobs_database, server.url), (check_queue_database, server.broker_url)):
            try:
                check(url)
            except UnreachableError as error:
                log.warning("redis.unreachable", setting=error.setting, server=server.name, error=str(error))
            except SettingsError as error:
                raise SettingsError(f"{error} (server {server.name})" if len(servers) > 1 else str(error)) from error


def check_jobs_database(url: str) -> None:
    """Check the URL of the database of jobs; raises SettingsError, or UnreachableError."""
    with _checked_client("REDIS_URL", url) as client:
        client.eval(PROBE_LUA, 1, JOBS_PROBE_KEY)
        client.publish(CHANNEL, "")


def check_queue_database(url: str) -> None:
    """Check the URL of the database of the queue; raises SettingsError, or UnreachableError."""
    with _checked_client("BROKER_URL", url) as client:
        for key in QUEUE_PROBE_KEYS:
            client.eval(PROBE_LUA, 1, key)


def server_version(url: str) -> str:
    """Return the name and the version of the server, such as ``valkey 8.1.1``; raises as ``check_jobs_database``."""
    with _checked_client("REDIS_URL", url) as client:
        info: dict[str, Any] = client.info("server")
    return f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}"


def is_refusal(error: ResponseError, parts: Iterable[str] = (*NO_DATABASE, *NO_PERMISSION)) -> bool:
    """Whether an error reply contains one of ``parts``, by default any that only another setting mends."""
    return any(part in str(error) for part in parts)


@contextmanager
def _checked_client(setting: str, url: str) -> Iterator[Redis]:
    client = connect(url, retries=0)
    try:
        yield client
    except RedisError as error:
        problem = _setting_problem(setting, client, error)
        if problem is None:
            raise UnreachableError(setting, describe_error(error)) from error
        raise SettingsError(f"{setting}: {problem}") from error
    finally:
        disconnect(client)


def _setting_problem(setting: str, client: Redis, error: RedisError) -> str | None:
    """Return the problem of the URL; None if the server may answer later."""
    text = str(error)
    if isinstance(error, AuthenticationError):
        return "the server refuses the user name or the password."
    if isinstance(error.__context__, ssl.SSLCertVerificationError) or CERTIFICATE_ERROR in text:
        return (
            f"the server's certificate is not accepted: {_certificate_reason(error)}. Name the certificate of its "
            "authority with ssl_ca_certs=FILE in the URL, or turn verification off with REDIS_SSL_CERT_REQS=none "
            "(in the URL: ssl_cert_reqs=none)."
        )
    if not isinstance(error, ResponseError):
        return None
    if is_refusal(error, NO_DATABASE):
        return _missing_database(setting, client)
    if is_refusal(error, NO_PERMISSION):
        return f"the server denies its user a permission that Darkroom needs ({text.rstrip('.')})."
    return None


def _missing_database(setting: str, client: Redis) -> str:
    number = client.connection_pool.connection_kwargs.get("db", 0)
    if setting == "REDIS_URL":
        return f"the server has no database {number}; name one that it has, such as 0."
    return (
        f"the server has no database {number} for the queue. Set BROKER_URL to a database that it has, or to another "
        "server; if it has only one, BROKER_URL may be the same as REDIS_URL."
    )


def _certificate_reason(error: RedisError) -> str:
    reason = getattr(error.__context__, "verify_message", "")
    return str(reason).rstrip(".") or "it cannot be verified"
