"""The library's commands: on real folders and a real database."""

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
from workers.library.cli.commands import library
from workers.library.cli.import_export import FORMATS, file_metadata
from workers.library.indexer import LibraryIndexer
from workers.library.scanner.hash_file import ByteRateLimiter, hash_file
from workers.library.scanner.scan import Scan, ScanScope

PNG = b"\x89PNG\r\n\x1a\n and more"
THUMB = b"RIFF and more"


@dataclass
class LibraryUnderTest:
    """A library of its own: folders, database, media."""

    folder: Path
    data: Path

    def __post_init__(self) -> None:
        """With an empty database."""
        self.folder.mkdir(parents=True)
        self.url = f"sqlite:///{self.data / 'darkroom.sqlite3'}"
        migrate(self.url)
        self.engine = open_database(self.url)
        self.library = Library.from_engine(self.engine, SystemClock())
        self.media = Media((self.data / "media").as_uri())

    def run(self, *words: str, **environment: str) -> Result:
        """What a command does."""
        ours = {"DATA_DIR": str(self.data), "MODELS_DIR": str(self.folder), "LOG_LEVEL": "error", **environment}
        return CliRunner().invoke(library, words, env=ours)

    def scan(self) -> None:
        """Scan, and hash what is found."""
        Scan(self.library.scan_writer, (self.folder,)).run([ScanScope(self.folder)])
        for one in self.library.file_hashes.list_pending([str(self.folder)], 100):
            found = hash_file(one, (self.folder,), ByteRateLimiter(0), lambda: True)
            self.library.file_hashes.record(one, found.content, found.hashes)

    def is_locked(self) -> bool:
        """Whether anybody looks after it."""
        with self.engine.connect() as connection:
            return connection.execute(select(tables.leases)).first() is not None

    def models(self, search: str = "") -> list[ModelView]:
        """The models that a search finds, whole."""
        wanted = SearchFilter({}, parse_query(search), SortOrder(SortKey.NAME, descending=False))
        return [self.library.models.get(ident) for ident in self.library.search.find_page(wanted, limit=100).ids]

    def add_image(self, model_id: int, name: str) -> None:
        """A picture."""
        keys = {"media_key": f"library/{name}.png", "thumb_key": f"library/{name}-thumb.webp"}
        self.media.put(keys["media_key"], PNG)
        self.media.put(keys["thumb_key"], THUMB)
        values = {"media_type": "image/png", "nsfw_level": 0, "prompt": f"a {name}", "params": {"seed": 2**64 - 1}}
        self.library.images.add(model_id, None, keys | values)


@pytest.fixture
def here(tmp_path: Path) -> LibraryUnderTest:
    """An empty library."""
    return LibraryUnderTest(tmp_path / "here" / "models", tmp_path / "here" / "data")


@pytest.fixture
def there(tmp_path: Path) -> LibraryUnderTest:
    """Another."""
    return LibraryUnderTest(tmp_path / "there" / "models", tmp_path / "there" / "data")


def test_scan_says_what_it_found(here: LibraryUnderTest) -> None:
    """In words, and as JSON; all is read again only if that is asked for."""
    write_safetensors(here.folder / "a.safetensors")
    done = here.run("scan")
    assert (done.exit_code, done.stdout) == (0, "1 files, 1 added, 0 changed, 0 moved, 0 lost, 0 problems\n")
    figures = json.loads(here.run("scan", "--json").stdout)
    assert (figures["files"], figures["read"]) == (1, 0)
    assert figures["memoryMb"] > 1
    assert json.loads(here.run("scan", "--json", "--full").stdout)["read"] == 1


def test_scan_asks_whoever_looks_after_the_library(settings: Settings, here: LibraryUnderTest) -> None:
    """Lists work meanwhile; once nobody looks after it, the command does."""
    write_safetensors(here.folder / "a.safetensors")
    stores = open_stores(replace(settings, models_dir=(here.folder,), database_url=here.url))
    librarian = LibraryIndexer(stores)
    librarian.start()
    try:
        eventually(stores.scan_requests.latest)
        said = here.run("scan", "--json", "--full", REDIS_URL=settings.redis_url).stdout
        asked = json.loads(said.splitlines()[-1])
        assert (asked["state"], asked["read"]) == ("done", 1)
        refused = here.run("watch")
        assert refused.exit_code == 1
        assert "A running Darkroom looks after the library already." in refused.stderr
        assert here.run("list").stdout.endswith("  a\n")
        lost = here.run("scan", REDIS_URL="redis://127.0.0.1:1/0")
        assert lost.exit_code == 1
        assert "its Redis does not answer" in lost.stderr
    finally:
        librarian.stop()
        stores.close()
    assert here.run("scan", REDIS_URL="redis://127.0.0.1:1/0").exit_code == 0


def test_watch_follows_until_it_is_told_to_stop(here: LibraryUnderTest) -> None:
    """Through the command line as people use it; what is found is hashed; the duty is free at once."""
    command = [sys.executable, "-m", "ops", "library", "watch"]
    environment = {**os.environ, "DATA_DIR": str(here.data), "MODELS_DIR": str(here.folder)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        eventually(here.is_locked)
        write_safetensors(here.folder / "new" / "a.safetensors")
        eventually(lambda: [model.name for model in here.models("is:hashed")] == ["a"])
        process.terminate()
        assert process.wait(30) == 143
    assert here.library.maintenance.acquire_lease("scanning", "somebody else")


def test_list_finds_by_words_and_filters(here: LibraryUnderTest) -> None:
    """One model a line, or one JSON object; no more than are wanted."""
    for name in ("ink", "wash", "neon"):
        write_safetensors(here.folder / "loras" / f"{name}.safetensors", data=name.encode())
    here.scan()
    assert [line.split()[-1] for line in here.run("list").stdout.splitlines()] == ["ink", "neon", "wash"]
    here.library.user_edits.write(here.models("ink")[0].id, {"notes": "mine"})
    without = here.run("list", "type:lora", "-has:notes", "order:-name").stdout
    assert [line.split()[-1] for line in without.splitlines()] == ["wash", "neon"]
    [found] = map(json.loads, here.run("list", "--json", "--limit", "1").stdout.splitlines())
    assert (found["name"], found["files"]) == ("ink", ["loras/ink.safetensors"])
    assert here.run("list", "nothing").stdout == ""
    shown = json.loads(here.run("show", str(found["id"])).stdout)
    assert shown["versions"][0]["files"][0]["hashes"]["SHA256"]


def test_names_are_shown_harmlessly(here: LibraryUnderTest) -> None:
    """What would write to the terminal's title, move its cursor or turn its direction is spelled out."""
    name = "[bold]\x1b]0;owned\x07\x9b31m\u202e\n\r.safetensors"
    write_safetensors(
        here.folder / f"x\x1b[2J\n{name[:-12]}" / name, metadata={"modelspec.title": "\x1b[2J\u202etitle\x9b"}
    )
    here.scan()
    [model] = here.models()
    here.library.user_edits.write(model.id, {"name": "[Pony]\u202e title"})
    assert here.run("list", "-tag:style", "-nothing").stdout.count("\n") == 1
    assert "[Pony]" in here.run("list").stdout
    [path] = here.folder.rglob("*.safetensors")
    with path.open("ab") as file:
        file.write(b"!")
    assert here.run("verify").stdout.count("\n") == 2
    for words in (["list"], ["list", "--json"], ["show", str(model.id)], ["verify"]):
        shown = here.run(*words).stdout
        assert not [one for one in shown if not one.isprintable() and one != "\n"], words
    assert "[bold]" in here.run("show", str(model.id)).stdout


def test_verify_finds_what_has_rotted(here: LibraryUnderTest) -> None:
    """The same size and time, and other bytes."""
    path = write_safetensors(here.folder / "a.safetensors")
    gone = write_safetensors(here.folder / "b.safetensors", data=b"b")
    here.scan()
    whole = here.run("verify")
    assert (whole.exit_code, whole.stdout) == (
        0,
        "2 files checked, 0 of them are not as they were. 0 have no hashes yet.\n",
    )
    about = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    gone.unlink()
    rotten = here.run("verify")
    assert rotten.exit_code == 1
    assert "damaged   a.safetensors" in rotten.stdout
    assert "missing   b.safetensors" in rotten.stdout
    assert here.run("verify", "a").stdout.startswith("damaged")


def add_described_model(place: LibraryUnderTest) -> None:
    """A model of which a catalogue, a person and the file itself have said something."""
    path = write_safetensors(
        place.folder / "loras" / "ink-mid_7-vid_11.safetensors", metadata={"modelspec.title": "Ink"}
    )
    said = civitai_model(7, 11, 12, description="<p>Ink.</p>", creator={"username": "someone"}, nsfw=False)
    path.with_name(f"{path.stem}.api_info.json").write_text(json.dumps(said))
    place.scan()
    [model] = place.models()
    place.library.user_edits.write(model.id, {"notes": "Mine.", "tags": ["ink", "my own"]})


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_exported_is_read_back(
    here: LibraryUnderTest, there: LibraryUnderTest, form: str, tmp_path: Path
) -> None:
    """By another library that has the file under another name: all that the format has room for."""
    add_described_model(here)
    done = here.run("export", form, "--into", str(tmp_path / "out"))
    assert (done.exit_code, done.stdout) == (0, "1 files written, 0 left as they are, 0 failed.\n")
    [source] = here.folder.rglob("*.safetensors")
    # Its name tells a downloader's layout from others: there only it stays.
    name = source.name if form == "civitdl" else "renamed.safetensors"
    (there.folder / name).write_bytes(source.read_bytes())
    there.scan()
    assert there.run("import", str(tmp_path / "out")).stdout.startswith("1 files read, 0")
    [before], [after] = here.models(), there.models()
    [here_file], [there_file] = (
        [(version, file) for version in model.versions for file in version.files] for model in (before, after)
    )
    wanted, found = file_metadata(before, *here_file), file_metadata(after, *there_file)
    # What is written tells of the file more than was said of it before.
    assert [one.id for one in found.versions] == [one.id for one in wanted.versions if found.versions]
    for field in SUPPORTED_FIELDS[FORMATS[form]] - {"versions"}:
        assert getattr(found, field) == getattr(wanted, field), field


def test_export_writes_over_nothing(here: LibraryUnderTest) -> None:
    """But where that is wanted; then whole or not at all."""
    add_described_model(here)
    [model] = here.folder.rglob("*.safetensors")
    sidecar = model.with_name(f"{model.stem}.metadata.json")
    sidecar.write_text("mine")
    assert here.run("export", "lora-manager").stdout == "0 files written, 1 left as they are, 0 failed.\n"
    assert sidecar.read_text() == "mine"
    assert here.run("export", "lora-manager", "--force").exit_code == 0
    assert json.loads(sidecar.read_text())["notes"] == "Mine."
    sidecar.unlink()
    sidecar.mkdir()
    (sidecar / "inner").touch()
    failed = here.run("export", "lora-manager", "--force")
    assert (failed.exit_code, failed.stdout) == (1, "0 files written, 0 left as they are, 1 failed.\n")
    assert not [path for path in model.parent.iterdir() if path.name.endswith(".part")]


def test_export_goes_on_after_a_name_that_is_too_long(here: LibraryUnderTest) -> None:
    """What has room is written; what has none is said, and fails the command at its end."""
    for stem in ("a", "b" * 240, "c" * 243, "d"):
        write_safetensors(here.folder / f"{stem}.safetensors", data=stem.encode())
    here.scan()
    done = here.run("export", "lora-manager")
    assert (done.exit_code, done.stdout) == (1, "3 files written, 0 left as they are, 1 failed.\n")
    assert "File name too long" in done.stderr
    assert len(list(here.folder.glob("*.metadata.json"))) == 3


def test_import_believes_hashes_before_names(here: LibraryUnderTest, tmp_path: Path) -> None:
    """What names another file's content is about that file; what is broken, or a pipe, costs nothing else."""
    for name in ("a", "b", "c"):
        write_safetensors(here.folder / f"{name}.safetensors", data=name.encode() * 9)
    here.scan()
    [b] = here.models("b")
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
    done = here.run("import", str(folder))
    assert (done.exit_code, done.stdout) == (0, "2 files read, 3 belong to no model that is here.\n")
    assert done.stderr.count("not read") == 3
    assert [model.civitai_id for model in here.models()] == [None, 2, None]
    assert here.models("c")[0].facts.notes == "by name"


def user_data(place: LibraryUnderTest) -> list[tuple[str | None, tuple[str, ...], list[tuple[str | None, Any]]]]:
    """What people have written about the models that are there."""
    return [
        (model.facts.notes, model.facts.tags, [(one.prompt, one.params) for one in model.images])
        for model in place.models()
    ]


@pytest.mark.parametrize("first", ["files", "backup"])
@pytest.mark.parametrize("hashed", [True, False])
def test_what_people_wrote_arrives_elsewhere(
    here: LibraryUnderTest, there: LibraryUnderTest, tmp_path: Path, first: str, hashed: bool
) -> None:
    """Whether the files come first or the backup, and whether anybody had hashed them; twice is as once."""
    for name in ("a", "b-000010", "b-000020", "c"):
        write_safetensors(here.folder / "loras" / f"{name}.safetensors", data=name.encode())
    if hashed:
        here.scan()
    else:
        here.run("scan")
    a, b, _ = here.models()
    here.library.user_edits.write(a.id, {"notes": "Of a."})
    here.library.user_edits.write(b.id, {"notes": "Of b.", "tags": ["mine"]})
    here.add_image(b.id, "lighthouse")
    assert here.run("backup", str(tmp_path / "kept.zip")).stdout == "2 models, 1 pictures.\n"

    def copy() -> None:
        for path in here.folder.rglob("*.safetensors"):
            target = there.folder / "elsewhere" / path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
        there.scan()

    if first == "files":
        copy()
    for _ in range(2):
        waiting = 0 if first == "files" else 2
        done = there.run("restore", str(tmp_path / "kept.zip"))
        assert done.stdout == f"2 models taken back, {waiting} of them wait for their files.\n"
    if first == "backup":
        copy()
    there.scan()
    assert user_data(there) == user_data(here)
    assert [len(model.versions) for model in there.models()] == [1, 2, 1]
    assert there.media.get("library/lighthouse.png") == PNG
    assert there.media.get("library/lighthouse-thumb.webp") == THUMB


def test_what_was_written_later_stays(here: LibraryUnderTest, tmp_path: Path) -> None:
    """A backup takes nothing away."""
    write_safetensors(here.folder / "a.safetensors")
    here.scan()
    [a] = here.models()
    here.library.user_edits.write(a.id, {"notes": "old", "name": "Named"})
    here.run("backup", str(tmp_path / "kept.zip"))
    here.library.user_edits.write(a.id, {"notes": "new", "name": None})
    assert here.run("restore", str(tmp_path / "kept.zip")).exit_code == 0
    [a] = here.models()
    assert (a.facts.notes, a.name) == ("new", "Named")


def test_a_backup_without_a_picture_gives_back_the_rest(
    here: LibraryUnderTest, there: LibraryUnderTest, tmp_path: Path
) -> None:
    """It is said at both ends which one is missing; what waits for its files is called as it was."""
    write_safetensors(here.folder / "ink.safetensors")
    here.scan()
    [model] = here.models()
    here.library.user_edits.write(model.id, {"notes": "Mine."})
    for name in ("kept", "lost"):
        here.add_image(model.id, name)
    here.media.delete("library/lost.png")
    made = here.run("backup", str(tmp_path / "kept.zip"))
    assert (made.exit_code, "library/lost.png" in made.stderr) == (0, True)
    done = there.run("restore", str(tmp_path / "kept.zip"))
    assert (done.exit_code, "library/lost.png" in done.stderr) == (0, True)
    [waiting] = there.models("is:missing")
    assert (waiting.name, waiting.facts.notes, [one.prompt for one in waiting.images]) == ("ink", "Mine.", ["a kept"])


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
SOUND = {
    "name": "a",
    "contents": ["tensors:" + "0" * 64],
    "civitai_id": None,
    "edits": {},
    "images": [IMAGE],
    "files": [],
}
HOSTILE: dict[str, Any] = {
    "no listing": None,
    "no object": [],
    "another version": {"version": 2, "models": []},
    "no models": {"version": 1},
    "a model of another shape": {"version": 1, "models": [7]},
    "a key that leads out": SOUND | {"images": [IMAGE | {"media_key": "library/../../evil.png"}]},
    "a key of another folder": SOUND | {"images": [IMAGE | {"media_key": "uploads/x.png"}]},
    "a type that runs": SOUND | {"images": [IMAGE | {"media_type": "text/html"}]},
    "a page as a picture": SOUND | {"images": [IMAGE | {"media_key": "library/page.png"}]},
    "too large a picture": SOUND | {"images": [IMAGE | {"media_key": "library/bomb.png"}]},
    "an edit of nothing": SOUND | {"edits": {"path": {"value": "/etc", "edited_at": 1}}},
    "an edit of another type": SOUND | {"edits": {"notes": {"value": [1], "edited_at": 1}}},
    "a time that is none": SOUND | {"edits": {"notes": {"value": "x", "edited_at": "now"}}},
    "a width that is none": SOUND | {"images": [IMAGE | {"width": 2**70}]},
    "params that are none": SOUND | {"images": [IMAGE | {"params": "[1]"}]},
    "a content that is none": SOUND | {"contents": ["x' OR 1=1"]},
    "half a character": SOUND | {"name": "\ud800"},
}


@pytest.mark.parametrize("name", [*HOSTILE, "too deep", "no archive", "a bomb for a listing", "encrypted"])
def test_a_hostile_backup_is_refused_whole(there: LibraryUnderTest, tmp_path: Path, name: str) -> None:
    """With a line that says why; nothing of it is written, not even what is sound."""
    path = tmp_path / "hostile.zip"
    said = HOSTILE.get(name)
    if isinstance(said, dict) and "version" not in said:
        said = {"version": 1, "models": [SOUND, said]}
    text = {"too deep": "[" * 100_000, "a bomb for a listing": " " * 30_000_000}.get(name, json.dumps(said))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("library/x.png", PNG)
        archive.writestr("library/page.png", b"<script>")
        archive.writestr("library/bomb.png", PNG + b"\0" * (51 * 1024 * 1024 if name == "too large a picture" else 0))
        archive.writestr("../../evil.png", PNG)
        if said is not None or name not in HOSTILE:
            archive.writestr("library.json", text)
    if name == "no archive":
        path.write_bytes(b"PK\x03\x04 and nothing more")
    if name == "encrypted":
        raw = bytearray(path.read_bytes())
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = -1
            while (start := raw.find(mark, start + 1)) >= 0:
                raw[start + place] |= 1
        path.write_bytes(raw)
    done = there.run("restore", str(path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert "is no backup of a library" in done.stderr
    assert list(there.library.backups.export()) == []
    assert not [one for one in (there.data / "media").rglob("*") if one.is_file()]
    assert not list(tmp_path.parent.rglob("evil.png"))


def test_the_commands_are_listed_with_a_sentence_each() -> None:
    """As are those of every other part."""
    done = subprocess.run(
        [sys.executable, "-m", "ops", "library", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = done.stdout.partition("Commands:")[2].split("\n  ")[1:]
    names = {line.split()[0] for line in listed if not line.startswith(" ")}
    assert names == {"scan", "watch", "list", "show", "verify", "export", "import", "backup", "restore"}
    assert all(len(line.split()) > 3 for line in listed)


def test_what_is_asked_wrongly_is_said_in_a_line(here: LibraryUnderTest, tmp_path: Path) -> None:
    """No folders, a bad search, a model that is not there, a database that cannot be."""
    for verb in ("scan", "watch", "verify"):
        done = here.run(verb, MODELS_DIR="")
        assert done.exit_code == 2
        assert "set MODELS_DIR to its folders" in done.stderr
    bad = here.run("list", "dim:>=many")
    assert bad.exit_code == 2
    assert "dim" in bad.stderr
    assert here.run("show", "7").stderr == "Error: Model not found\n"
    assert here.run("show", "x").exit_code == 2
    for ident in ("7", "9" * 30, "9" * 5000):
        assert here.run("list", ident).stderr == "Error: Model not found\n"
    assert (here.run("show", "9" * 30).exit_code, here.run("list", "²").exit_code) == (1, 0)
    assert here.run("export", "no-such-format").exit_code == 2
    (tmp_path / "file").touch()
    nowhere = here.run("list", DATA_DIR=str(tmp_path / "file" / "data"))
    assert nowhere.exit_code == 1
    assert nowhere.stderr.startswith("Error: ")
