"""Starts that fail: one line that says why, instead of a traceback, by every command and process."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet

from ops.cli.doctor import _check_sql
from ops.cli.main import main
from ops.infra.database import migrate
from ops.infra.settings import Settings, SettingsError
from ops.processes.temp_dirs import use_private_temp_dir
from ops.testbed.stack import run_stack
from stores import open_stores
from stores.environment.shared_settings import check_now_or_later
from stores.queue.process_monitor import ProcessMonitor
from stores.queue.process_reports import ProcessReports
from tests.conftest import eventually
from tests.integration.redis.test_redis_check import run_process

# No folder can be made there, not even by root.
NO_FOLDER = "/proc/darkroom"
COMMANDS = [
    ["migrate"],
    ["keys", "list"],
    ["api-key", "show"],
    ["api-key", "regenerate"],
    ["library", "list"],
    ["sites", "list"],
    ["fleet", "check"],
    ["fleet", "accept", "SESSION_KEY"],
    ["backup", "x.zip"],
    ["up"],
]


@pytest.fixture(autouse=True)
def _restore_umask() -> Iterator[None]:
    """Commands that start processes change it."""
    umask = os.umask(0o077)
    os.umask(umask)
    yield
    os.umask(umask)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", ["DATA_DIR", "DATABASE_URL"])
def test_commands_name_the_setting(
    name: str, command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A data folder that cannot be made, a URL of no database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv(name, NO_FOLDER if name == "DATA_DIR" else "nonsense")
    result = CliRunner().invoke(main, command)
    if name == "DATA_DIR" and command == ["sites", "list"]:
        return
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert any(word in result.output for word in (name, NO_FOLDER, "The data folder"))
    assert len(result.output.strip().splitlines()) == 1


@pytest.mark.parametrize("role", ["web", "worker", "clock"])
def test_processes_name_the_data_folder(role: str, settings: Settings) -> None:
    """And what would make them do without it."""
    environment = {"DATA_DIR": NO_FOLDER, "REDIS_URL": settings.redis_url}
    code, output = run_process(Path("/"), role, **environment)
    assert code in (2, 4)
    assert "Traceback" not in output
    assert "unable to open database file" in output or "cannot be written" in output
    assert f"darkroom {role}: DATA_DIR: '{NO_FOLDER}' cannot be written" in output
    assert "by setting SESSION_KEY, DATABASE_URL, MEDIA_URL." in output


def test_the_data_folder_is_needed_only_for_settings_that_use_it(settings: Settings, tmp_path: Path) -> None:
    """Each setting that would keep something there is named, and none without a need."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    independent = replace(
        settings,
        data_dir=Path(NO_FOLDER),
        session_key=Fernet.generate_key().decode(),
        database_url=f"sqlite:///{elsewhere}/x.sqlite3",
        media_url=elsewhere.as_uri(),
    )
    migrate(independent.database_url)
    open_stores(independent).close()
    for changes, name in (
        ({"api_key": None}, "API_KEY"),
        ({"session_key": None}, "SESSION_KEY"),
        ({"database_url": f"sqlite:///{NO_FOLDER}/x.sqlite3"}, "DATABASE_URL"),
        ({"media_url": f"file://{NO_FOLDER}/media"}, "MEDIA_URL"),
    ):
        with pytest.raises(SettingsError, match=f"by setting {name}[.]$"):
            open_stores(replace(independent, **changes))


def test_temporary_files_go_where_the_system_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the data folder cannot be written, and neither can TMPDIR, one line says so."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", "")
    use_private_temp_dir(Path(NO_FOLDER))
    assert Path(os.environ["TMPDIR"]).parent == tmp_path
    monkeypatch.setattr("tempfile.tempdir", NO_FOLDER)
    with pytest.raises(SettingsError, match="TMPDIR"):
        use_private_temp_dir(Path(NO_FOLDER))


def test_a_database_that_answers_later_is_asked_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that started without it ends as soon as it tells that a key is another."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    other = replace(settings, session_key=Fernet.generate_key().decode())
    check_later = check_now_or_later(settings)
    assert check_later
    stores = open_stores(settings)
    monitors = [ProcessMonitor(stores, role, check_later) for role in ("clock", "web")]
    for monitor in monitors:
        monitor._check_shared_settings()
    assert codes == []
    migrate(settings.database_url)
    assert check_now_or_later(other) is None
    for monitor in monitors:
        monitor._check_shared_settings()
    stores.close()
    assert codes == [2, 4]


def test_a_process_that_stops_tells_nothing_to_a_server_that_is_down(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait in vain; its report expires. One that answers forgets the report at once."""
    told: list[Any] = []
    monkeypatch.setattr(ProcessReports, "remove", lambda reports, _name: told.append(reports._redis))
    clients = []
    for url in (settings.redis_url, "unix:///nowhere.sock?db=0"):
        stores = open_stores(replace(settings, redis_url=url))
        clients.append(stores.redis)
        monitor = ProcessMonitor(stores, "clock")
        monitor.start()
        is_up = url == settings.redis_url
        eventually(stores.process_reports.list_recent if is_up else lambda: clients[-1].availability.is_down)
        monitor.stop()
        stores.close()
    assert told == clients[:1]


def test_doctor_names_a_shared_setting_that_differs(settings: Settings) -> None:
    """Before a process is refused."""
    migrate(settings.database_url)
    assert check_now_or_later(settings) is None
    other = replace(settings, api_key="another key of the owner")
    for each, is_same in ((settings, True), (other, False)):
        [row] = [row for row in _check_sql(each) if row.part == "shared settings"]
        assert (row.ok, "API_KEY" in row.result) == (is_same, not is_same)


def test_an_ipv6_address_makes_addresses_that_answer() -> None:
    """Links and pictures begin with ``PUBLIC_URL``, whose default is where the server listens."""
    with run_stack("web", HOST="::1") as stack:
        url = stack.settings.public_url
        assert httpx.get(f"{url}/health/live").status_code == 200
