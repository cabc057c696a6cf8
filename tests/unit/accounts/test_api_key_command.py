"""The commands ``api-key show`` and ``api-key regenerate``."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ops.cli.api_key import api_key
from stores.accounts.owner_key import KEY_FILE, OwnerKey
from tests.conftest import API_KEY


def run(data_dir: Path, command: str, **settings: str) -> Result:
    """Run a command on a data folder."""
    return CliRunner().invoke(api_key, [command], env={"DATA_DIR": str(data_dir), "API_KEY": "", **settings})


def test_show_creates_a_key_once(tmp_path: Path) -> None:
    """Later calls print the same line."""
    first, second = run(tmp_path / "data", "show"), run(tmp_path / "data", "show")
    key = OwnerKey(tmp_path / "data").read()

    assert (first.exit_code, first.stdout, first.stderr) == (0, f"Current API key: {key}\n", "")
    assert second.stdout == first.stdout


def test_regenerate_replaces_the_key(tmp_path: Path) -> None:
    """It also works without an old key; only the owner can read the file."""
    keys = []
    for _ in range(2):
        result = run(tmp_path / "data", "regenerate")
        keys.append(OwnerKey(tmp_path / "data").read())
        assert (result.exit_code, result.stdout, result.stderr) == (0, f"New API key: {keys[-1]}\n", "")
        assert len(bytes.fromhex(keys[-1])) == 32

    assert keys[0] != keys[1]
    assert stat.S_IMODE((tmp_path / "data" / KEY_FILE).stat().st_mode) == 0o600


def test_a_key_from_the_environment_is_shown_and_not_regenerated(tmp_path: Path) -> None:
    """Both commands name API_KEY, and no file is written."""
    shown, refused = run(tmp_path, "show", API_KEY=API_KEY), run(tmp_path, "regenerate", API_KEY=API_KEY)

    assert (shown.exit_code, shown.stdout) == (0, f"Current API key: {API_KEY}\n")
    assert "API_KEY" in shown.stderr
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "change API_KEY" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_reported_and_can_be_regenerated(tmp_path: Path) -> None:
    """The message names the command."""
    (tmp_path / KEY_FILE).write_text("{")
    damaged, repaired = run(tmp_path, "show"), run(tmp_path, "regenerate")

    assert damaged.exit_code == 2
    assert "api-key regenerate" in " ".join(damaged.stderr.split())
    assert repaired.exit_code == 0
    assert json.loads((tmp_path / KEY_FILE).read_text())["key"] in repaired.stdout


@pytest.mark.parametrize("command", ["show", "regenerate"])
def test_a_data_folder_that_is_not_writable_is_reported(tmp_path: Path, command: str) -> None:
    """The error is one line without a traceback."""
    (tmp_path / "data").write_text("a file")
    result = run(tmp_path / "data", command)

    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert "Error: " in result.stderr
