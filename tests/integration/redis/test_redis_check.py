"""Redis servers that answer and cannot be used: one sentence names the setting, before anything is stored."""

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from ops.cli.doctor import doctor
from ops.infra.redis import connect
from ops.infra.redis_check import check_jobs_database, check_queue_database, check_redis
from ops.infra.setting_parsers import UnreachableError
from ops.infra.settings import ROOT, Settings, SettingsError, load_settings, next_database
from ops.processes.web_command import free_port
from ops.testbed.tcp_relay import TcpRelay
from tests.conftest import API_KEY, TIMEOUT_S, answers_ping, eventually
from tests.integration.conftest import close_app, open_app
from tests.integration.redis.test_redis import Server, run_server

NO_QUEUE = "BROKER_URL: the server has no database 1 for the queue."
FORBIDDEN = "the server denies its user a permission that Darkroom needs"


@contextmanager
def ready_server(*options: str) -> Iterator[Server]:
    """A server that answers."""
    with run_server(*options) as server:
        client = connect(f"unix://{server.socket}", retries=0)
        eventually(lambda: answers_ping(client))
        client.close()
        yield server


@contextmanager
def tls_server(host: str) -> Iterator[tuple[str, Path]]:
    """A server behind TLS with a private authority; yields its URL and the authority's certificate."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    with ready_server() as server:
        relay = TcpRelay(server.socket, tls=context)
        relay.start()
        authority.cert_pem.write_to_path(server.folder / "ca.pem")
        yield f"rediss://127.0.0.1:{relay.port}/0", server.folder / "ca.pem"
        relay.stop()


def run_process(tmp_path: Path, command: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command of the command line until it ends; return its exit code and what it wrote."""
    base = {"DATA_DIR": str(tmp_path / "data"), "PORT": str(free_port()), "API_KEY": API_KEY, "LOG_FORMAT": "json"}
    done = subprocess.run(
        [sys.executable, "-m", "ops", command, *arguments],
        cwd=ROOT,
        env={**os.environ, **base, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_server_with_one_database_needs_a_broker_url() -> None:
    """The message says what to set, and that setting works."""
    with ready_server("--databases", "1") as server:
        url = f"unix://{server.socket}?db=0"
        check_jobs_database(url)
        with pytest.raises(SettingsError, match=NO_QUEUE):
            check_queue_database(next_database(url))
        check_queue_database(url)


def test_the_highest_database_has_no_next_one() -> None:
    """The same holds for every number of databases, and for REDIS_URL itself."""
    with ready_server("--databases", "3") as server:
        check_jobs_database(f"unix://{server.socket}?db=2")
        with pytest.raises(SettingsError, match="BROKER_URL: the server has no database 3"):
            check_queue_database(f"unix://{server.socket}?db=3")
        with pytest.raises(SettingsError, match="REDIS_URL: the server has no database 7"):
            check_jobs_database(f"unix://{server.socket}?db=7")


@pytest.mark.parametrize(
    "rules",
    [
        ("~*", "&*", "+@all", "-eval", "-evalsha"),
        ("~*", "&*", "+@all", "-rpush"),
        ("~*", "&*", "+@all", "-select"),
        ("~dr:*", "&*", "+@all"),
        ("%R~*", "&*", "+@all"),
    ],
)
def test_a_user_without_permissions_is_named_with_the_setting(rules: tuple[str, ...]) -> None:
    """Whether commands, keys, writes or the choice of a database are forbidden."""
    with ready_server() as server:
        admin = connect(f"unix://{server.socket}", retries=0)
        admin.execute_command("ACL", "SETUSER", "limited", "on", ">secret-word", *rules)
        with pytest.raises(SettingsError, match=f"BROKER_URL: {FORBIDDEN}") as failure:
            check_queue_database(f"unix://limited:secret-word@{server.socket}?db=1")
        assert "secret-word" not in str(failure.value)
        admin.close()


def test_a_user_without_channels_cannot_be_used_for_jobs() -> None:
    """Changes of jobs are published."""
    with ready_server() as server:
        admin = connect(f"unix://{server.socket}", retries=0)
        admin.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "&other", "+@all")
        with pytest.raises(SettingsError, match=f"REDIS_URL: {FORBIDDEN}"):
            check_jobs_database(f"unix://limited:pw@{server.socket}?db=0")
        admin.close()


def test_wrong_credentials_are_named_with_the_setting() -> None:
    """For both settings."""
    with ready_server() as server:
        admin = connect(f"unix://{server.socket}", retries=0)
        admin.config_set("requirepass", "right")
        for check, name in ((check_jobs_database, "REDIS_URL"), (check_queue_database, "BROKER_URL")):
            with pytest.raises(SettingsError, match=f"{name}: the server refuses the user name or the password"):
                check(f"unix://:wrong@{server.socket}?db=0")
        admin.close()


def test_a_server_that_does_not_answer_is_waited_for(settings: Settings) -> None:
    """It is no wrong setting."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(UnreachableError):
        check_jobs_database(url)
    check_redis(replace(settings, redis_url=url, broker_url=next_database(url)))


@pytest.mark.parametrize(("host", "reason"), [("127.0.0.1", "issuer certificate"), ("elsewhere.example", "issuer")])
def test_a_private_certificate_is_named_with_what_to_do(
    host: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REDIS_SSL_CERT_REQS mends it for both URLs, and never overrides what a URL says."""
    with tls_server(host) as (url, authority):
        monkeypatch.setenv("REDIS_URL", url)
        for check, name in ((check_jobs_database, "REDIS_URL"), (check_queue_database, "BROKER_URL")):
            with pytest.raises(SettingsError, match=f"{name}: the server's certificate is not accepted") as failure:
                check(url)
            assert all(text in str(failure.value) for text in (reason, "REDIS_SSL_CERT_REQS=none", "ssl_ca_certs"))
        monkeypatch.setenv("REDIS_SSL_CERT_REQS", "none")
        check_redis(load_settings())
        monkeypatch.setenv("BROKER_URL", url)
        check_redis(load_settings())
        monkeypatch.setenv("BROKER_URL", f"{url}?ssl_cert_reqs=required")
        with pytest.raises(SettingsError, match="BROKER_URL: the server's certificate"):
            check_redis(load_settings())
        if host == "127.0.0.1":
            check_jobs_database(f"{url}?ssl_ca_certs={authority}")


@pytest.mark.parametrize("role", ["web", "worker", "background", "clock", "up", "doctor"])
def test_every_process_says_so_and_ends(role: str, tmp_path: Path) -> None:
    """Without a traceback, and with an exit code that a supervisor tells from a crash."""
    with ready_server("--databases", "1") as server:
        code, output = run_process(tmp_path, role, REDIS_URL=f"unix://{server.socket}?db=0")
    assert code == (1 if role == "doctor" else 2)
    assert NO_QUEUE in " ".join(output.replace("\n", " ").split()) or role == "doctor"
    assert "Traceback" not in output


def test_doctor_names_queue_and_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each in its row."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "400")
    with ready_server("--databases", "1") as server:
        monkeypatch.setenv("REDIS_URL", f"unix://{server.socket}?db=0")
        assert NO_QUEUE in CliRunner().invoke(doctor).output
        monkeypatch.setenv("BROKER_URL", f"unix://{server.socket}?db=0")
        assert "its database answers" in CliRunner().invoke(doctor).output
    monkeypatch.delenv("BROKER_URL")
    with tls_server("127.0.0.1") as (url, _authority):
        monkeypatch.setenv("REDIS_URL", url)
        assert "REDIS_SSL_CERT_REQS=none" in CliRunner().invoke(doctor).output
        monkeypatch.setenv("REDIS_SSL_CERT_REQS", "none")
        output = CliRunner().invoke(doctor).output
        assert "its database answers" in output


@pytest.mark.parametrize("broken", ["database", "permissions"])
def test_a_submission_is_accepted_although_the_queue_is_refused(settings: Settings, broken: str) -> None:
    """A record is never followed by status 500; the clock sends the wakeup later, and health names BROKER_URL."""
    with ready_server("--databases", "1" if broken == "database" else "2") as server:
        url = f"unix://{server.socket}?db=0"
        broker_url = next_database(url)
        if broken == "permissions":
            admin = connect(url, retries=0)
            admin.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~none", "+@all")
            admin.close()
            broker_url = f"unix://limited:pw@{server.socket}?db=1"
        app = open_app(replace(settings, redis_url=url, broker_url=broker_url))
        response = app.post("/api/v1/jobs", json={"prompt": "a quiet lake at dawn"})
        assert (response.status_code, response.json["status"]) == (202, "QUEUED")
        health = app.get("/health")
        assert health.status_code == 503
        assert "queue" in health.json["failing"]
        assert "BROKER_URL" in health.json["queue"]["error"]
        close_app(app)


def test_a_refused_jobs_database_is_unavailable(settings: Settings) -> None:
    """Status 503 names the setting, and nothing is stored."""
    with ready_server("--databases", "1") as server:
        app = open_app(replace(settings, redis_url=f"unix://{server.socket}?db=5"))
        response = app.post("/api/v1/jobs", json={"prompt": "a quiet lake at dawn"})
        assert response.status_code == 503
        assert "REDIS_URL" in response.json["error"]["message"]
        close_app(app)
