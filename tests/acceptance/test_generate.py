"""``./darkroom generate`` and other commands, run as a user does."""

import io
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from stores.accounts.owner_key import OwnerKey
from tests.acceptance.conftest import SCRIPT, darkroom_up, environment

QUICK = ("--input", "width=256", "--input", "height=256", "--input", "steps=4")


def run(folder: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of Darkroom in ``folder``."""
    command = [str(SCRIPT), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=200, check=False
    )


def test_generate_starts_a_temporary_darkroom(folder: Path) -> None:
    """Without a running Darkroom, one is started for the image and stopped afterwards."""
    done = run(
        folder,
        "generate",
        "a lighthouse at dusk, oil painting",
        "-o",
        "lighthouse.png",
        "--lora",
        "Oil Impasto",
        *QUICK,
    )

    assert (0, "lighthouse.png") == (done.returncode, done.stdout.strip()), done.stderr
    with Image.open(folder / "lighthouse.png") as image:
        assert ("PNG", (256, 256)) == (image.format, image.size)
    assert not (folder / ".darkroom" / "running.json").exists()


def test_generate_uses_a_running_darkroom(folder: Path) -> None:
    """It is found by its data folder or named by --url and --key; the file name chooses the format."""
    with darkroom_up(folder) as up:
        data = str(folder / "data")
        key = OwnerKey(folder / "data").read()
        by_folder = run(folder, "generate", "a quiet lake at dawn", *QUICK, DATA_DIR=data)
        by_url = run(
            folder, "generate", "a quiet lake at dawn", "-o", "lake.jpg", "--url", up.url, "--key", key, *QUICK
        )
        failed = run(folder, "generate", "gore in a meadow", *QUICK, DATA_DIR=data)
        refused = run(folder, "generate", "a lake", "--input", "colour=red", DATA_DIR=data)
        unknown = run(folder, "generate", "a lake", "--url", up.url, "--key", "wrong-key", DATA_DIR=data)

    assert (0, "a-quiet-lake-at-dawn.png") == (by_folder.returncode, by_folder.stdout.strip()), by_folder.stderr
    assert 0 == by_url.returncode, by_url.stderr
    with Image.open(io.BytesIO((folder / "lake.jpg").read_bytes())) as image:
        assert "JPEG" == image.format
    assert (1, True) == (failed.returncode, '"gore"' in failed.stderr)
    assert (1, True) == (refused.returncode, "studio accepts negativePrompt" in refused.stderr)
    assert (1, True) == (unknown.returncode, "API key" in unknown.stderr)
    assert not list(folder.glob("*gore*"))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("generate", "a lake", "-o", "no/such/folder.png"), 2, "no/such"),
        (("generate", "a lake", "--input", "seed"), 2, "NAME=VALUE"),
        (("generate", "a lake", "--url", "http://127.0.0.1:9", "--key", "x"), 1, "does not answer"),
        (("generate", "a lake", "--url", "http://127.0.0.1:9"), 2, "--key"),
        (("generate",), 2, "PROMPT"),
        (("paint",), 2, "paint"),
    ],
)
def test_invalid_arguments_are_explained(folder: Path, arguments: tuple[str, ...], code: int, text: str) -> None:
    """The message names the argument, without a traceback; nothing is started."""
    done = run(folder, *arguments)

    assert (code, True) == (done.returncode, text in done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_checks_every_part(folder: Path) -> None:
    """The table lists every part; the exit code is 1 if one is broken."""
    healthy = run(folder, "doctor")
    broken = run(folder, "doctor", BROWSER="/no/such/browser")

    assert 0 == healthy.returncode, healthy.stdout
    for part in ("darkroom", "playwright", "browser launch", "sandbox", "redis", "sql", "disk", "fonts"):
        assert part in healthy.stdout
    assert 1 == broken.returncode
    assert "BROWSER" in broken.stdout


def test_keys_are_created_listed_and_revoked(folder: Path) -> None:
    """A new key works at once; revoking an unknown key is an error."""
    with darkroom_up(folder) as up, up.client() as client:
        data = str(folder / "data")
        key = run(folder, "keys", "create", "--name", "bob", DATA_DIR=data).stdout.strip()
        client.headers["x-api-key"] = key
        assert 200 == client.get("/quota").status_code
        key_id = run(folder, "keys", "list", DATA_DIR=data).stdout.splitlines()[-1].split()[0]
        assert 0 == run(folder, "keys", "revoke", key_id, DATA_DIR=data).returncode

    assert key.split("_")[1] == key_id
    assert 1 == run(folder, "keys", "revoke", "nope", DATA_DIR=data).returncode
