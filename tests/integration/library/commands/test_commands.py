"""The library commands: scan, watch, list, verify."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from ops.infra.settings import ROOT, Settings
from stores import open_stores
from tests.conftest import eventually
from tests.integration.library.commands.conftest import LibraryUnderTest
from tests.support.model_files import write_safetensors
from workers.library.indexer import LibraryIndexer


def test_scan_prints_a_summary(lib: LibraryUnderTest) -> None:
    """It is text or JSON; unchanged files are read again only with --full."""
    write_safetensors(lib.folder / "a.safetensors")
    done = lib.run("scan")
    assert (done.exit_code, done.stdout) == (0, "1 files, 1 added, 0 changed, 0 moved, 0 lost, 0 problems\n")
    figures = json.loads(lib.run("scan", "--json").stdout)
    assert (figures["files"], figures["read"]) == (1, 0)
    assert figures["memoryMb"] > 1
    assert json.loads(lib.run("scan", "--json", "--full").stdout)["read"] == 1


def test_scan_asks_the_running_indexer(settings: Settings, lib: LibraryUnderTest) -> None:
    """Other commands work meanwhile; without a running indexer the command itself scans."""
    write_safetensors(lib.folder / "a.safetensors")
    stores = open_stores(replace(settings, models_dir=(lib.folder,), database_url=lib.url))
    indexer = LibraryIndexer(stores)
    indexer.start()
    try:
        eventually(stores.scan_requests.latest)
        output = lib.run("scan", "--json", "--full", REDIS_URL=settings.redis_url).stdout
        summary = json.loads(output.splitlines()[-1])
        assert (summary["state"], summary["read"]) == ("done", 1)
        refused = lib.run("watch")
        assert refused.exit_code == 1
        assert "A running Darkroom already indexes the library." in refused.stderr
        assert lib.run("list").stdout.endswith("  a\n")
        unreachable = lib.run("scan", REDIS_URL="redis://127.0.0.1:1/0")
        assert unreachable.exit_code == 1
        assert "its Redis does not answer" in unreachable.stderr
        # The command scans the folder that the indexer does not have, and the request does not wait for it.
        write_safetensors(lib.data / "more" / "b.safetensors", data=b"more")
        folders = f"{lib.data / 'more'}:{lib.folder}"
        both = lib.run("scan", "--json", "--full", REDIS_URL=settings.redis_url, MODELS_DIR=folders)
        summary = json.loads(both.stdout.splitlines()[-1])
        assert (summary["files"], summary["read"], stores.scan_requests.list_shared()) == (2, 2, [])
    finally:
        indexer.stop()
        stores.close()
    assert lib.run("scan", REDIS_URL="redis://127.0.0.1:1/0").exit_code == 0


def test_watch_indexes_until_sigterm(lib: LibraryUnderTest) -> None:
    """New files are hashed, and SIGTERM releases the lock at once."""
    command = [sys.executable, "-m", "ops", "library", "watch"]
    environment = {**os.environ, "DATA_DIR": str(lib.data), "MODELS_DIR": str(lib.folder)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        eventually(lib.is_locked)
        write_safetensors(lib.folder / "new" / "a.safetensors")
        eventually(lambda: [model.name for model in lib.models("is:hashed")] == ["a"])
        process.terminate()
        assert process.wait(60) == 143
    assert lib.library.maintenance.acquire_lease("scanning", "another process")


def test_list_finds_by_words_and_filters(lib: LibraryUnderTest) -> None:
    """It prints one model or JSON object per line, at most --limit of them."""
    for name in ("ink", "wash", "neon"):
        write_safetensors(lib.folder / "loras" / f"{name}.safetensors", data=name.encode())
    lib.scan()
    assert [line.split()[-1] for line in lib.run("list").stdout.splitlines()] == ["ink", "neon", "wash"]
    lib.library.user_edits.write(lib.models("ink")[0].id, {"notes": "mine"})
    without = lib.run("list", "type:lora", "-has:notes", "order:-name").stdout
    assert [line.split()[-1] for line in without.splitlines()] == ["wash", "neon"]
    [found] = map(json.loads, lib.run("list", "--json", "--limit", "1").stdout.splitlines())
    assert (found["name"], found["files"]) == ("ink", ["loras/ink.safetensors"])
    assert lib.run("list", "nothing").stdout == ""
    shown = json.loads(lib.run("show", str(found["id"])).stdout)
    assert shown["versions"][0]["files"][0]["hashes"]["SHA256"]


def test_control_characters_in_names_are_escaped(lib: LibraryUnderTest) -> None:
    """Names cannot set the terminal's title, move its cursor or change the text direction."""
    name = "[bold]\x1b]0;owned\x07\x9b31m\u202e\n\r.safetensors"
    write_safetensors(
        lib.folder / f"x\x1b[2J\n{name[:-12]}" / name, metadata={"modelspec.title": "\x1b[2J\u202etitle\x9b"}
    )
    lib.scan()
    [model] = lib.models()
    lib.library.user_edits.write(model.id, {"name": "[Pony]\u202e title"})
    assert lib.run("list", "-tag:style", "-nothing").stdout.count("\n") == 1
    assert "[Pony]" in lib.run("list").stdout
    [path] = lib.folder.rglob("*.safetensors")
    with path.open("ab") as file:
        file.write(b"!")
    assert lib.run("verify").stdout.count("\n") == 2
    for args in (["list"], ["list", "--json"], ["show", str(model.id)], ["verify"]):
        output = lib.run(*args).stdout
        assert not [char for char in output if not char.isprintable() and char != "\n"], args
    assert "[bold]" in lib.run("show", str(model.id)).stdout


def test_verify_finds_bit_rot(lib: LibraryUnderTest) -> None:
    """A file with the same size and time but different content is reported as damaged."""
    path = write_safetensors(lib.folder / "a.safetensors")
    removed = write_safetensors(lib.folder / "b.safetensors", data=b"b")
    lib.scan()
    whole = lib.run("verify")
    assert (whole.exit_code, whole.stdout) == (
        0,
        "2 files checked, 0 do not match their hashes. 0 have no hashes yet.\n",
    )
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    removed.unlink()
    mismatch = lib.run("verify")
    assert mismatch.exit_code == 1
    assert "damaged   a.safetensors" in mismatch.stdout
    assert "missing   b.safetensors" in mismatch.stdout
    assert lib.run("verify", "a").stdout.startswith("damaged")


def test_help_lists_every_command_with_a_description() -> None:
    """``python -m ops`` loads the group lazily."""
    done = subprocess.run(
        [sys.executable, "-m", "ops", "library", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = done.stdout.partition("Commands:")[2].split("\n  ")[1:]
    names = {line.split()[0] for line in listed if not line.startswith(" ")}
    assert names == {"scan", "watch", "list", "show", "verify", "export", "import", "backup", "restore", "roots"}
    assert all(len(line.split()) > 3 for line in listed)


def test_usage_errors_are_one_line(lib: LibraryUnderTest, tmp_path: Path) -> None:
    """Examples are no MODELS_DIR, an invalid search, an unknown model, an impossible database path."""
    for command in ("scan", "watch", "verify"):
        done = lib.run(command, MODELS_DIR="")
        assert done.exit_code == 2
        assert "set MODELS_DIR to its folders" in done.stderr
    bad = lib.run("list", "dim:>=many")
    assert bad.exit_code == 2
    assert "dim" in bad.stderr
    assert lib.run("show", "7").stderr == "Error: Model not found\n"
    assert lib.run("show", "x").exit_code == 2
    for model_id in ("7", "9" * 30, "9" * 5000):
        assert lib.run("list", model_id).stderr == "Error: Model not found\n"
    assert (lib.run("show", "9" * 30).exit_code, lib.run("list", "²").exit_code) == (1, 0)
    assert lib.run("export", "no-such-format").exit_code == 2
    (tmp_path / "file").touch()
    nowhere = lib.run("list", DATA_DIR=str(tmp_path / "file" / "data"))
    assert nowhere.exit_code == 2
    assert nowhere.stderr.startswith("Error: DATABASE_URL: ")


def test_folders_of_the_library_are_listed_and_removed(lib: LibraryUnderTest) -> None:
    """One that MODELS_DIR names must leave it first; a removed one hides its models until it is scanned again."""
    write_safetensors(lib.folder / "a.safetensors")
    assert lib.run("scan").exit_code == 0
    assert lib.run("roots").stdout.startswith(f"{lib.folder}  ")
    assert "remove it there first" in lib.run("roots", "--remove", str(lib.folder)).stderr
    assert lib.run("roots", "--remove", str(lib.folder), MODELS_DIR="").exit_code == 0
    assert (lib.run("roots").stdout, lib.run("list").stdout) == ("", "")
    assert lib.run("roots", "--remove", str(lib.folder), MODELS_DIR="").exit_code == 1
    assert lib.run("scan").exit_code == 0
    assert "a" in lib.run("list").stdout
