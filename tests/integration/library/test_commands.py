"""Library commands on real folders and a real database."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from ops.cli.main import main as darkroom
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import ROOT, Settings
from schemas.library.model_views import ModelView
from schemas.library.search_query import SortKey, SortOrder, parse_query
from schemas.library.sidecars import SUPPORTED_FIELDS
from stores import open_stores
from stores.library import Library, tables
from stores.library.search import SearchFilter
from stores.media import Media
from tests.conftest import eventually
from tests.support.model_files import civitai_model, write_safetensors
from workers.library.cli.import_export import FORMATS, file_metadata
from workers.library.indexer import LibraryIndexer
from workers.library.scanner.hash_file import ByteRateLimiter, hash_file
from workers.library.scanner.scan import Scan, ScanScope

PNG = b"\x89PNG\r\n\x1a\n and more"
THUMB = b"RIFF\0\0\0\0WEBP and more"


@dataclass
class LibraryUnderTest:
    """A library with folders, database and media store, and a runner of its commands."""

    folder: Path
    data: Path

    def __post_init__(self) -> None:
        """Create the folders and an empty database."""
        self.folder.mkdir(parents=True)
        self.url = f"sqlite:///{self.data / 'darkroom.sqlite3'}"
        migrate(self.url)
        self.engine = open_database(self.url)
        self.library = Library.from_engine(self.engine, SystemClock())
        self.media = Media((self.data / "media").as_uri())

    def run(self, *args: str, **environment: str) -> Result:
        """Run a command and return its result."""
        variables = {"DATA_DIR": str(self.data), "MODELS_DIR": str(self.folder), "LOG_LEVEL": "error", **environment}
        return CliRunner().invoke(darkroom, ["library", *args], env=variables)

    def scan(self) -> None:
        """Scan the folder and hash all files."""
        Scan(self.library.scan_writer, (self.folder,)).run([ScanScope(self.folder)])
        for pending in self.library.file_hashes.list_pending([str(self.folder)], 100):
            result = hash_file(pending, (self.folder,), ByteRateLimiter(0), lambda: True)
            self.library.file_hashes.record(pending, result.content, result.hashes)

    def is_locked(self) -> bool:
        """Return whether a process holds a lock of the library."""
        with self.engine.connect() as connection:
            return connection.execute(select(tables.leases)).first() is not None

    def models(self, search: str = "") -> list[ModelView]:
        """Return the models that a search finds, with their versions."""
        search_filter = SearchFilter({}, parse_query(search), SortOrder(SortKey.NAME, descending=False))
        page = self.library.search.find_page(search_filter, limit=100)
        return [self.library.models.get(model_id) for model_id in page.ids]

    def add_image(self, model_id: int, name: str) -> None:
        """Store an uploaded image and its thumbnail for a model."""
        keys = {"media_key": f"library/{name}.png", "thumb_key": f"library/{name}-thumb.webp"}
        self.media.put(keys["media_key"], PNG)
        self.media.put(keys["thumb_key"], THUMB)
        values = {"media_type": "image/png", "nsfw_level": 0, "prompt": f"a {name}", "params": {"seed": 2**64 - 1}}
        self.library.images.add(model_id, None, keys | values)


@pytest.fixture
def lib(tmp_path: Path) -> LibraryUnderTest:
    """An empty library."""
    return LibraryUnderTest(tmp_path / "lib" / "models", tmp_path / "lib" / "data")


@pytest.fixture
def other(tmp_path: Path) -> LibraryUnderTest:
    """Another empty library."""
    return LibraryUnderTest(tmp_path / "other" / "models", tmp_path / "other" / "data")


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
    """Other commands work meanwhile; without a running indexer the command scans by itself."""
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
        assert process.wait(30) == 143
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


def add_described_model(lib: LibraryUnderTest) -> None:
    """Add a model with metadata from its header, a Civitai sidecar and user edits."""
    path = write_safetensors(lib.folder / "loras" / "ink-mid_7-vid_11.safetensors", metadata={"modelspec.title": "Ink"})

    answer = civitai_model(7, 11, 12, description="<p>Ink.</p>", creator={"username": "someone"}, nsfw=False)
    path.with_name(f"{path.stem}.api_info.json").write_text(json.dumps(answer))
    lib.scan()
    [model] = lib.models()
    lib.library.user_edits.write(model.id, {"notes": "Mine.", "tags": ["ink", "my own"]})


@pytest.mark.parametrize("form", FORMATS)
def test_exported_sidecars_are_imported_completely(
    lib: LibraryUnderTest, other: LibraryUnderTest, form: str, tmp_path: Path
) -> None:
    """Another library with the same file under another name gets every field that the format supports."""
    add_described_model(lib)
    done = lib.run("export", form, "--into", str(tmp_path / "out"))
    assert (done.exit_code, done.stdout) == (0, "1 files written, 0 skipped, 0 failed.\n")
    [source] = lib.folder.rglob("*.safetensors")
    # The civitdl layout is recognized by the file's name, so that format needs the original name.
    name = source.name if form == "civitdl" else "renamed.safetensors"
    (other.folder / name).write_bytes(source.read_bytes())
    other.scan()
    assert other.run("import", str(tmp_path / "out")).stdout.startswith("1 files imported, 0")
    [before], [after] = lib.models(), other.models()
    [lib_file], [other_file] = (
        [(version, file) for version in model.versions for file in version.files] for model in (before, after)
    )
    expected, actual = file_metadata(before, *lib_file), file_metadata(after, *other_file)
    # The export adds the file itself to the listed versions, so only their ids are comparable.
    assert [version.id for version in actual.versions] == [
        version.id for version in expected.versions if actual.versions
    ]
    for field in SUPPORTED_FIELDS[FORMATS[form]] - {"versions"}:
        assert getattr(actual, field) == getattr(expected, field), field


def test_export_overwrites_only_with_force(lib: LibraryUnderTest) -> None:
    """Files are replaced atomically; a failed one leaves no temporary file."""
    add_described_model(lib)
    [model] = lib.folder.rglob("*.safetensors")
    sidecar = model.with_name(f"{model.stem}.metadata.json")
    sidecar.write_text("mine")
    assert lib.run("export", "lora-manager").stdout == "0 files written, 1 skipped, 0 failed.\n"
    assert sidecar.read_text() == "mine"
    assert lib.run("export", "lora-manager", "--force").exit_code == 0
    assert json.loads(sidecar.read_text())["notes"] == "Mine."
    sidecar.unlink()
    sidecar.mkdir()
    (sidecar / "inner").touch()
    failed = lib.run("export", "lora-manager", "--force")
    assert (failed.exit_code, failed.stdout) == (1, "0 files written, 0 skipped, 1 failed.\n")
    assert not [path for path in model.parent.iterdir() if path.name.endswith(".tmp")]


def test_export_continues_after_a_name_that_is_too_long(lib: LibraryUnderTest) -> None:
    """The other files are written; the command reports the failure and exits with 1."""
    for stem in ("a", "b" * 240, "c" * 243, "d"):
        write_safetensors(lib.folder / f"{stem}.safetensors", data=stem.encode())
    lib.scan()
    done = lib.run("export", "lora-manager")
    assert (done.exit_code, done.stdout) == (1, "3 files written, 0 skipped, 1 failed.\n")
    assert "File name too long" in done.stderr
    assert len(list(lib.folder.glob("*.metadata.json"))) == 3


def test_import_prefers_hashes_to_names(lib: LibraryUnderTest, tmp_path: Path) -> None:
    """A sidecar with another file's hash applies to that file. Broken sidecars and pipes are skipped."""
    for name in ("a", "b", "c"):
        write_safetensors(lib.folder / f"{name}.safetensors", data=name.encode() * 9)
    lib.scan()
    [b] = lib.models("b")
    sha256 = b.versions[0].files[0].hashes["SHA256"]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "a.civitai.info").write_text(
        json.dumps({"id": 1, "modelId": 2, "files": [{"hashes": {"SHA256": sha256}}]})
    )
    (folder / "b.metadata.json").write_text("{")
    (folder / "c.cm-info.json").symlink_to("/dev/zero")
    os.mkfifo(folder / "c.civitai.info")
    (folder / "c.json").write_text(json.dumps({"description": "of c", "notes": "by name"}))
    done = lib.run("import", str(folder))
    assert (done.exit_code, done.stdout) == (0, "2 files imported, 3 without a matching model.\n")
    assert done.stderr.count("not read") == 3
    assert [model.civitai_id for model in lib.models()] == [None, 2, None]
    assert lib.models("c")[0].metadata.notes == "by name"


def user_data(lib: LibraryUnderTest) -> list[tuple[str | None, tuple[str, ...], list[tuple[str | None, Any]]]]:
    """Return notes, tags and uploaded images of all models."""
    return [
        (model.metadata.notes, model.metadata.tags, [(image.prompt, image.params) for image in model.images])
        for model in lib.models()
    ]


@pytest.mark.parametrize("first", ["files", "backup"])
@pytest.mark.parametrize("hashed", [True, False])
def test_a_backup_is_restored_in_another_library(
    lib: LibraryUnderTest, other: LibraryUnderTest, tmp_path: Path, first: str, hashed: bool
) -> None:
    """The files may arrive before or after, hashed or not; restoring is idempotent."""
    for name in ("a", "b-000010", "b-000020", "c"):
        write_safetensors(lib.folder / "loras" / f"{name}.safetensors", data=name.encode())
    if hashed:
        lib.scan()
    else:
        lib.run("scan")
    a, b, _ = lib.models()
    lib.library.user_edits.write(a.id, {"notes": "Of a."})
    lib.library.user_edits.write(b.id, {"notes": "Of b.", "tags": ["mine"]})
    lib.add_image(b.id, "lighthouse")
    assert lib.run("backup", str(tmp_path / "backup.zip")).stdout == "2 models, 1 images.\n"

    def copy() -> None:
        for path in lib.folder.rglob("*.safetensors"):
            target = other.folder / "elsewhere" / path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
        other.scan()

    if first == "files":
        copy()
    for _ in range(2):
        waiting = 0 if first == "files" else 2
        done = other.run("restore", str(tmp_path / "backup.zip"))
        assert done.stdout == f"2 models restored, {waiting} of them wait for their files.\n"
    if first == "backup":
        copy()
    other.scan()
    assert user_data(other) == user_data(lib)
    assert [len(model.versions) for model in other.models()] == [1, 2, 1]
    assert other.media.get("library/lighthouse.png") == PNG
    assert other.media.get("library/lighthouse-thumb.webp") == THUMB


def test_restore_keeps_newer_edits(lib: LibraryUnderTest, tmp_path: Path) -> None:
    """A backup overwrites only older values."""
    write_safetensors(lib.folder / "a.safetensors")
    lib.scan()
    [a] = lib.models()
    lib.library.user_edits.write(a.id, {"notes": "old", "name": "Named"})
    lib.run("backup", str(tmp_path / "backup.zip"))
    lib.library.user_edits.write(a.id, {"notes": "new", "name": None})
    assert lib.run("restore", str(tmp_path / "backup.zip")).exit_code == 0
    [a] = lib.models()
    assert (a.metadata.notes, a.name) == ("new", "Named")


def test_a_backup_with_a_missing_image_is_restored_without_it(
    lib: LibraryUnderTest, other: LibraryUnderTest, tmp_path: Path
) -> None:
    """Both commands name the missing image. A model without files keeps its name."""
    write_safetensors(lib.folder / "ink.safetensors")
    lib.scan()
    [model] = lib.models()
    lib.library.user_edits.write(model.id, {"notes": "Mine."})
    for name in ("stored", "lost"):
        lib.add_image(model.id, name)
    lib.media.delete("library/lost.png")
    made = lib.run("backup", str(tmp_path / "backup.zip"))
    assert (made.exit_code, "library/lost.png" in made.stderr) == (0, True)
    done = other.run("restore", str(tmp_path / "backup.zip"))
    assert (done.exit_code, "library/lost.png" in done.stderr) == (0, True)
    [waiting] = other.models("is:missing")
    assert (waiting.name, waiting.metadata.notes) == ("ink", "Mine.")
    assert [image.prompt for image in waiting.images] == ["a stored"]


IMAGE = {
    "media_key": "library/x.png",
    "thumb_key": None,
    "media_type": "image/png",
    "width": 1,
    "height": 1,
    "nsfw_level": 0,
    "blurhash": None,
    "prompt": None,
    "params": "{}",
    "sort_order": 0,
    "created_at": 0,
    "job_id": None,
}
VALID = {
    "name": "a",
    "contents": ["tensors:" + "0" * 64],
    "civitai_id": None,
    "edits": {},
    "images": [IMAGE],
    "files": [],
}
INVALID: dict[str, Any] = {
    "no manifest": None,
    "no object": [],
    "another version": {"version": 2, "models": []},
    "no models": {"version": 1},
    "a model of another shape": {"version": 1, "models": [7]},
    "a key outside the media store": VALID | {"images": [IMAGE | {"media_key": "library/../../evil.png"}]},
    "a key with another prefix": VALID | {"images": [IMAGE | {"media_key": "uploads/x.png"}]},
    "an executable media type": VALID | {"images": [IMAGE | {"media_type": "text/html"}]},
    "an HTML page as an image": VALID | {"images": [IMAGE | {"media_key": "library/page.png"}]},
    "an oversized image": VALID | {"images": [IMAGE | {"media_key": "library/bomb.png"}]},
    "an edit of an unknown field": VALID | {"edits": {"path": {"value": "/etc", "edited_at": 1}}},
    "an edit of a wrong type": VALID | {"edits": {"notes": {"value": [1], "edited_at": 1}}},
    "an invalid time": VALID | {"edits": {"notes": {"value": "x", "edited_at": "now"}}},
    "an invalid width": VALID | {"images": [IMAGE | {"width": 2**70}]},
    "invalid params": VALID | {"images": [IMAGE | {"params": "[1]"}]},
    "an invalid content hash": VALID | {"contents": ["x' OR 1=1"]},
    "a lone surrogate": VALID | {"name": "\ud800"},
}


@pytest.mark.parametrize("name", [*INVALID, "too deep", "no archive", "a bomb as the manifest", "encrypted"])
def test_an_invalid_backup_is_rejected_completely(other: LibraryUnderTest, tmp_path: Path, name: str) -> None:
    """The command prints one line with the reason and stores nothing, not even the valid records."""
    path = tmp_path / "hostile.zip"
    manifest = INVALID.get(name)
    if isinstance(manifest, dict) and "version" not in manifest:
        manifest = {"version": 1, "models": [VALID, manifest]}
    text = {"too deep": "[" * 100_000, "a bomb as the manifest": " " * 30_000_000}.get(name, json.dumps(manifest))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("library/x.png", PNG)
        archive.writestr("library/page.png", b"<script>")
        archive.writestr("library/bomb.png", PNG + b"\0" * (51 * 1024 * 1024 if name == "an oversized image" else 0))
        archive.writestr("../../evil.png", PNG)
        if manifest is not None or name not in INVALID:
            archive.writestr("library.json", text)
    if name == "no archive":
        path.write_bytes(b"PK\x03\x04 and nothing more")
    if name == "encrypted":
        raw = bytearray(path.read_bytes())
        # Set the "encrypted" flag in every local and central file header.
        for signature, flags_offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = -1
            while (start := raw.find(signature, start + 1)) >= 0:
                raw[start + flags_offset] |= 1
        path.write_bytes(raw)
    done = other.run("restore", str(path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert "is not a library backup" in done.stderr
    assert list(other.library.backups.export()) == []
    assert not [path for path in (other.data / "media").rglob("*") if path.is_file()]
    assert not list(tmp_path.parent.rglob("evil.png"))


def test_help_lists_every_command_with_a_description() -> None:
    """``python -m ops`` loads the group lazily."""
    done = subprocess.run(
        [sys.executable, "-m", "ops", "library", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = done.stdout.partition("Commands:")[2].split("\n  ")[1:]
    names = {line.split()[0] for line in listed if not line.startswith(" ")}
    assert names == {"scan", "watch", "list", "show", "verify", "export", "import", "backup", "restore"}
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
    assert nowhere.exit_code == 1
    assert nowhere.stderr.startswith("Error: ")
