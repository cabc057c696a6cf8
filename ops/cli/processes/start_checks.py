"""What ``up`` checks and waits for; it takes a while to load, so the first processes are started before."""

import http
import http.client
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import structlog

from ops.cli.groups import ConfigurationError, StartError
from ops.cli.processes.sign_in_link import create_sign_in_link
from ops.infra.database import is_migrated
from ops.infra.redis import disconnect
from ops.infra.redis_check import check_jobs_database, check_queue_database
from ops.infra.setting_parsers import RedisServer, UnreachableError, connectable_host, pair_redis_urls
from ops.infra.settings import ROOT, Settings
from ops.processes.supervisor import Supervisor
from schemas.errors import Unavailable
from stores import build_address_policy
from stores.accounts.owner_key import KEY_FILE, OwnerKey
from stores.accounts.rate_limits import parse_default_rates
from stores.environment.shared_settings import check_shared_settings
from stores.queue.worker_heartbeats import WorkerRegistry
from stores.redis.client import open_any_client
from stores.redis.scripts import Scripts
from stores.sites.recipes import Recipes

__all__ = ["await_ready", "await_redis", "check_settings", "prepare_database", "sign_in_link_and_key_file"]

REDIS_TIMEOUT_S = 10.0
READY_TIMEOUT_S = 90.0
HEALTH_TIMEOUT_S = 2.0
POLL_INTERVAL_S = 0.02

log = structlog.get_logger(__name__)


def check_settings(settings: Settings) -> None:
    """Report invalid values at once; each process reads them again. Raises SettingsError."""
    Recipes.from_settings(settings)
    build_address_policy(settings)
    parse_default_rates(settings)
    OwnerKey.from_settings(settings).read()


def prepare_database(release: str, environment: Mapping[str, str], settings: Settings) -> None:
    """Bring the tables up to date, and check what all processes share; raises StartError and SettingsError."""
    if not is_migrated(settings.database_url):
        _migrate(release, environment, settings)
    # Here once more, because a process that refuses to start is only one line in the log.
    check_shared_settings(settings)


def _migrate(command: str, environment: Mapping[str, str], settings: Settings) -> None:
    process = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or ["no message"]
        raise StartError(f"The database at {_without_password(settings.database_url)} cannot be used: {last[0]}")


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else url


def await_redis(supervisor: Supervisor, redis_url: str, broker_url: str) -> None:
    """Wait until all databases can be used, or at least those of one server; raises StartError and SettingsError."""
    deadline = time.monotonic() + REDIS_TIMEOUT_S
    servers = pair_redis_urls(redis_url, broker_url)
    silent = "REDIS_URL"
    while time.monotonic() < deadline and "redis" not in supervisor.exit_codes():
        try:
            for server in servers:
                check_jobs_database(server.url)
                check_queue_database(server.broker_url)
        except UnreachableError as error:
            silent = error.setting
            log.debug("redis.not_yet", setting=silent)
            time.sleep(POLL_INTERVAL_S)
        else:
            return
    if any(map(_answers, servers)):
        log.warning("redis.unreachable", setting=silent, advice="./darkroom doctor says which server")
        return
    if silent in os.environ:
        raise StartError(f"{silent}: the server does not answer.")
    raise StartError("The embedded Redis server did not start; see redis.log in the data folder.")


def _answers(server: RedisServer) -> bool:
    try:
        check_jobs_database(server.url)
        check_queue_database(server.broker_url)
    except UnreachableError:
        return False
    return True


def await_ready(supervisor: Supervisor, settings: Settings, redis_url: str) -> None:
    """Wait until a worker and the web process are ready; raises StartError."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    client = open_any_client(redis_url)
    workers = WorkerRegistry(client, Scripts(client))
    is_worker_ready = False
    while time.monotonic() < deadline:
        if ConfigurationError.exit_code in supervisor.exit_codes().values():
            raise StartError("A setting or this machine prevents the start; the line above says what is wrong.")
        # /health repeats its answer for a second, so it is not asked before a worker is ready.
        is_worker_ready = is_worker_ready or _has_ready_worker(workers)
        if is_worker_ready and _is_healthy(settings):
            disconnect(client)
            return
        supervisor.restart_dead()
        time.sleep(POLL_INTERVAL_S)
    raise StartError(f"No worker was ready within {READY_TIMEOUT_S:g} s; see the log above.")


def _has_ready_worker(workers: WorkerRegistry) -> bool:
    try:
        return any(worker.ready for worker in workers.list_alive())
    except Unavailable:
        return False


def _is_healthy(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(connectable_host(settings.host), settings.port, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def sign_in_link_and_key_file(settings: Settings, redis_url: str, *, is_shared: bool) -> tuple[str, Path]:
    """Return a link that signs in a browser, and the file with the owner's key."""
    return create_sign_in_link(settings, redis_url, is_shared=is_shared), settings.data_dir / KEY_FILE
