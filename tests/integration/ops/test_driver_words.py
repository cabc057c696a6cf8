"""What drivers say when a component fails: in the log and in commands, without secrets, and not in answers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from ops.cli.main import main
from ops.infra.database import open_database
from ops.infra.logging import describe_error
from ops.infra.settings import Settings
from ops.processes.web_command import free_port
from schemas.errors import Unavailable
from stores.media import Media
from stores.redis.client import open_client
from stores.sql.database import Database
from tests.integration.conftest import close_app, open_app
from tests.support.s3_server import serve_s3

PASSWORD = "secret-word"
KEY = "pictures/a"


def fail(call: Callable[[], object]) -> Unavailable:
    """The error that a call raises."""
    with pytest.raises(Unavailable) as failure:
        call()
    assert PASSWORD not in str(failure.value)
    assert failure.value.reason not in failure.value.message
    return failure.value


def connect_sql(url: str) -> None:
    """Open a transaction."""
    with Database(open_database(url)).read():
        pass


def test_a_database_says_why(postgresql: str, tmp_path: Path) -> None:
    """That there is no such database, that nothing listens, that a file is a folder."""
    error = fail(lambda: connect_sql(postgresql.replace("/postgres?", "/missing?")))
    assert error.message == "The database does not answer."
    assert 'database "missing" does not exist' in str(error)
    closed = f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:{free_port()}/x"
    assert "refused" in str(fail(lambda: connect_sql(closed)))
    assert "unable to open" in str(fail(lambda: connect_sql(f"sqlite:///{tmp_path}")))


def test_redis_says_why() -> None:
    """That nothing listens."""
    client = open_client(f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0", retries=0)
    assert "refused" in str(fail(client.ping))


def test_a_media_store_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it refuses the credentials."""
    with serve_s3(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
        with capture_logs() as lines:
            error = fail(lambda: Media(server.media_url).get(KEY))
    assert "403" in str(error)
    assert [line["error"] for line in lines] == [error.reason]


def test_answers_do_not_repeat_drivers(settings: Settings) -> None:
    """Addresses and users of the database are for the log."""
    app = open_app(settings)
    try:
        # The tables are there; the server goes away.
        url = f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:{free_port()}/x"
        app.stores.subscriptions._database = Database(open_database(url))
        with capture_logs() as lines:
            answer = app.get("/api/v1/webhooks")
    finally:
        close_app(app)
    assert (answer.status_code, answer.json["error"]["message"]) == (503, "The database does not answer.")
    [logged] = [line["error"] for line in lines if line["event"] == "unavailable"]
    assert "refused" in logged
    assert PASSWORD not in logged


@pytest.mark.parametrize("command", [["keys", "list"], ["migrate"], ["library", "list"], ["fleet", "check"]])
def test_commands_say_why_in_one_line(command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a traceback and without the password."""
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/x")
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "refused" in result.output
    assert PASSWORD not in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_credentials_are_removed_from_words() -> None:
    """User, password and signatures of URLs, whatever the driver quotes."""
    words = "PUT https://me:secret@h.example/b/k?X-Sig=abc&t=1 failed: password=hunter2 (Forbidden).\n  detail: row"
    assert describe_error(OSError(words)) == "PUT https://…h.example/b/k… failed: password=… (Forbidden)"
