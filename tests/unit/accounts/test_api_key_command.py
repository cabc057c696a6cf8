"""The commands of the owner's key."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ops.cli.api_key import api_key
from stores.accounts.owner_key import KEY_FILE, OwnerKey
from tests.conftest import API_KEY


def run(folder: Path, word: str, **more: str) -> Result:
    """What a command does on a data folder."""
    return CliRunner().invoke(api_key, [word], env={"DATA_DIR": str(folder), "API_KEY": "", **more})


def test_show_makes_a_key_and_shows_the_same_ever_after(tmp_path: Path) -> None:
    """In one line, for programs too."""
    first, second = run(tmp_path / "data", "show"), run(tmp_path / "data", "show")
    key = OwnerKey(tmp_path / "data").read()

    assert (first.exit_code, first.stdout, first.stderr) == (0, f"Current API key: {key}\n", "")
    assert second.stdout == first.stdout


def test_regenerate_puts_a_new_key_in_place_of_the_old(tmp_path: Path) -> None:
    """Also where there was none; for its owner only."""
    keys = []
    for _ in range(2):
        done = run(tmp_path / "data", "regenerate")
        keys.append(OwnerKey(tmp_path / "data").read())
        assert (done.exit_code, done.stdout, done.stderr) == (0, f"New API key: {keys[-1]}\n", "")
        assert len(bytes.fromhex(keys[-1])) == 32

    assert keys[0] != keys[1]
    assert stat.S_IMODE((tmp_path / "data" / KEY_FILE).stat().st_mode) == 0o600


def test_where_api_key_is_set_it_is_said(tmp_path: Path) -> None:
    """It is shown, and not regenerated."""
    shown, refused = run(tmp_path, "show", API_KEY=API_KEY), run(tmp_path, "regenerate", API_KEY=API_KEY)

    assert (shown.exit_code, shown.stdout) == (0, f"Current API key: {API_KEY}\n")
    assert "API_KEY" in shown.stderr
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "change API_KEY" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_a_broken_file_is_told_and_mended(tmp_path: Path) -> None:
    """By regenerating, as the message says."""
    (tmp_path / KEY_FILE).write_text("{")
    broken, mended = run(tmp_path, "show"), run(tmp_path, "regenerate")

    assert broken.exit_code == 2
    assert "api-key regenerate" in " ".join(broken.stderr.split())
    assert mended.exit_code == 0
    assert json.loads((tmp_path / KEY_FILE).read_text())["key"] in mended.stdout


@pytest.mark.parametrize("word", ["show", "regenerate"])
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, word: str) -> None:
    """Without a traceback."""
    (tmp_path / "data").write_text("a file")
    done = run(tmp_path / "data", word)

    assert done.exit_code in (1, 2)
    assert isinstance(done.exception, SystemExit)
    assert "Error: " in done.stderr
