"""What stays true of the library whatever happens to its files, in whichever order."""

import json
import os
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, select

from ops.infra.database import open_database
from stores.library import Library, tables
from stores.library.index.read_model import rebuild_read_model
from tests.conftest import FakeClock
from tests.support.model_files import write_safetensors
from workers.library.scanner.hash_file import ByteRateLimiter, hash_file
from workers.library.scanner.scan import Scan, ScanScope

FOLDERS = ("one/loras", "two/vae")
NAMES = ("ink", "mine-000010", "mine-000020")
CONTENTS = (b"aaaa", b"bbbb", b"cccc", b"dddddd")
SECOND_NS = 1_000_000_000
places = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(NAMES))
contents = st.sampled_from(CONTENTS)
TABLES_OF_VERSIONS = ("source_metadata", "files")
TABLES_OF_MODELS = ("versions", "details", "tags", "user_edits", "images")


@dataclass
class Note:
    """What a person has written, and about which model."""

    model_id: int
    text: str


class Folders(RuleBasedStateMachine):
    """Two folders of models, and a person who does things to them."""

    template: Path

    @initialize(files=st.lists(st.tuples(places, contents), max_size=4), catalogued=st.booleans())
    def begin(self, files: list[tuple[tuple[str, str], bytes]], catalogued: bool) -> None:
        """A library with some files, known by their content; with a catalogue's word about them or without."""
        self.place = Path(tempfile.mkdtemp(prefix="dr-machine-"))
        self.roots = (self.place / "one", self.place / "two")
        for folder in FOLDERS:
            (self.place / folder).mkdir(parents=True)
        url = f"sqlite:///{shutil.copyfile(self.template, self.place / 'db.sqlite3')}"
        self.engine: Engine = open_database(url)
        self.clock = FakeClock()
        self.library = Library.from_engine(self.engine, self.clock)
        self.counter = 0
        self.notes: dict[str, int] = {}
        self.pictures: set[str] = set()
        self.settled = False
        self.ids: dict[bytes, int] = {}
        self.catalogued = catalogued
        for place, content in files:
            self.put(place, content, "")
        self.settle(full=False)

    def teardown(self) -> None:
        """Take it all away."""
        if hasattr(self, "engine"):
            self.engine.dispose()
            shutil.rmtree(self.place)

    def path(self, place: tuple[str, str]) -> Path:
        """Where a model lies."""
        return self.place / place[0] / f"{place[1]}.safetensors"

    def here(self) -> list[Path]:
        """All models on disk."""
        return sorted(self.place.glob("*/**/*.safetensors"))

    def stamp(self, path: Path, *, shared: bool = False) -> None:
        """A time of its own, or one that many have: archives are unpacked so."""
        self.counter += 1
        time_ns = 0 if shared else self.counter * SECOND_NS
        os.utime(path, ns=(time_ns, time_ns))
        self.settled = False

    def bury(self, path: Path) -> None:
        """Keep a file that goes away elsewhere: else its number on the disk could be given to another at once."""
        if path.exists():
            self.counter += 1
            os.link(path, self.place / f"grave {self.counter}")
            path.unlink()

    @rule(place=places, content=contents, title=st.sampled_from(["", "Old", "New"]))
    def put(self, place: tuple[str, str], content: bytes, title: str) -> None:
        """A file is made, or written anew in its place."""
        self.stamp(
            write_safetensors(self.path(place), data=content, metadata={"modelspec.title": title} if title else None)
        )

    @rule(place=places, content=contents)
    def put_beside_and_rename(self, place: tuple[str, str], content: bytes) -> None:
        """As downloaders do: another inode is there at once."""
        draft = write_safetensors(self.path(place).with_name(".draft"), data=content)
        self.stamp(draft, shared=True)
        self.bury(self.path(place))
        draft.replace(self.path(place))

    @precondition(lambda self: self.here())
    @rule(data=st.data(), place=places)
    def move(self, data: st.DataObject, place: tuple[str, str]) -> None:
        """A file gets another name or folder, whatever was there."""
        source, target = data.draw(st.sampled_from(self.here())), self.path(place)
        if source != target:
            self.bury(target)
            source.rename(target)
        self.settled = False

    @precondition(lambda self: self.here())
    @rule(data=st.data(), place=places, link=st.booleans())
    def copy(self, data: st.DataObject, place: tuple[str, str], link: bool) -> None:
        """A second file with the same bytes, or a second name of the same file."""
        source, target = data.draw(st.sampled_from(self.here())), self.path(place)
        if source == target:
            return
        self.bury(target)
        if link:
            os.link(source, target)
        else:
            shutil.copy2(source, target)
        self.settled = False

    @precondition(lambda self: len(self.here()) > 1)
    @rule(data=st.data())
    def swap(self, data: st.DataObject) -> None:
        """Two files take each other's names."""
        first, second = data.draw(st.lists(st.sampled_from(self.here()), min_size=2, max_size=2, unique=True))
        spare = first.with_name(".spare")
        first.rename(spare)
        second.rename(first)
        spare.rename(second)
        self.settled = False

    @precondition(lambda self: self.here())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """A file goes."""
        self.bury(data.draw(st.sampled_from(self.here())))
        self.settled = False

    @precondition(lambda self: self.here())
    @rule(data=st.data())
    def touch(self, data: st.DataObject) -> None:
        """Another time, the same bytes."""
        self.stamp(data.draw(st.sampled_from(self.here())))

    @rule(
        place=places, model=st.sampled_from([None, 7, 8]), version=st.sampled_from([11, 12]), text=st.sampled_from("12")
    )
    def sidecar(self, place: tuple[str, str], model: int | None, version: int, text: str) -> None:
        """A sidecar comes, changes, breaks."""
        path = self.path(place).with_suffix(".civitai.info")
        said = {"id": version, "modelId": model, "name": f"v{text}", "model": {"name": f"Ink {model}", "type": "LORA"}}
        path.write_text(json.dumps(said) if model else "{")
        self.stamp(path)

    @rule(place=places)
    def no_sidecar(self, place: tuple[str, str]) -> None:
        """A sidecar goes."""
        self.path(place).with_suffix(".civitai.info").unlink(missing_ok=True)
        self.settled = False

    @rule(place=places)
    def preview(self, place: tuple[str, str]) -> None:
        """A picture lies beside it."""
        self.path(place).with_suffix(".preview.png").write_bytes(b"picture")
        self.settled = False

    @rule(data=st.data(), picture=st.booleans())
    def write(self, data: st.DataObject, picture: bool) -> None:
        """A person writes about a model that is there, or gives it a picture; what was written before is replaced."""
        shown = self.rows("models")
        ids = sorted(row.id for row in shown if row.files)
        if not ids:
            return
        ident = data.draw(st.sampled_from(ids))
        self.clock.advance(1)
        if picture:
            key = f"library/{len(self.pictures)}.png"
            self.library.images.add(ident, None, {"media_key": key, "nsfw_level": 0, "params": {}})
            self.pictures.add(key)
            return
        text = f"<{self.clock.time_ms}>"
        replaced = [row for row in self.rows("user_edits") if row.model_id == ident]
        self.notes = {
            note: place for note, place in self.notes.items() if not any(note in row.value for row in replaced)
        }
        self.library.user_edits.write(ident, {"notes": text})
        self.notes[text] = ident

    @rule(full=st.booleans())
    def scan(self, full: bool) -> None:
        """The folders are compared."""
        self.compare(full=full)

    @rule()
    def hash(self) -> None:
        """What waits is hashed."""
        self.hash_all()

    @rule()
    def settle_at_once(self) -> None:
        """As when it is watched."""
        self.settle(full=False)

    @rule(full=st.booleans())
    def settle(self, full: bool) -> None:
        """Both, to the end."""
        self.compare(full=full)
        self.hash_all()
        self.settled = True

    def compare(self, *, full: bool = False) -> int:
        """One scan; how many files it read."""
        return Scan(self.library.scan_writer, self.roots).run([ScanScope(root, full=full) for root in self.roots]).read

    def hash_all(self) -> None:
        """Hash what waits, once."""
        for one in self.library.file_hashes.list_pending(list(map(str, self.roots)), 100):
            try:
                found = hash_file(one, self.roots, ByteRateLimiter(0), lambda: True)
            except Exception as error:
                if type(error).__name__ in ("NotFound", "FileChangedError"):
                    continue
                raise
            self.library.file_hashes.record(one, found.content, found.hashes)

    def rows(self, table: str) -> list:
        """All rows of a table."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(getattr(tables, table))))

    @invariant()
    def nothing_is_an_orphan(self) -> None:
        """At any time: what belongs to something belongs to something that is there."""
        if not hasattr(self, "engine"):
            return
        ids = {name: {row.id for row in self.rows(name)} for name in ("models", "versions", "files")}
        for name in TABLES_OF_VERSIONS:
            assert {row.version_id for row in self.rows(name)} <= ids["versions"], name
        for name in TABLES_OF_MODELS:
            assert {row.model_id for row in self.rows(name)} <= ids["models"], name
        assert {row.version_id for row in self.rows("images")} - {None} <= ids["versions"]
        assert {row.file_id for row in self.rows("hashes")} <= ids["files"]
        assert {row.model_id for row in self.rows("versions")} == ids["models"]
        assert {row.model_id for row in self.rows("details")} == ids["models"]
        places_ = {(row.root, row.path) for row in self.rows("files")}
        assert {(row.root, row.path) for row in self.rows("problems")} <= places_

    @invariant()
    def nothing_that_was_written_is_lost(self) -> None:
        """Each note is in one model, each picture as well."""
        if not hasattr(self, "engine"):
            return
        written = [row.value for row in self.rows("user_edits")]
        for text in self.notes:
            assert sum(text in value for value in written) == 1, (text, written)
        assert sorted(row.media_key for row in self.rows("images") if row.slot is None) == sorted(self.pictures)

    @invariant()
    def what_is_shown_is_what_would_be_computed(self) -> None:
        """Nothing that changed was forgotten to be shown."""
        if not hasattr(self, "engine"):
            return
        names = ("models", "details", "tags", "versions")
        before = {name: self.rows(name) for name in names}
        with self.engine.connect() as connection:
            rebuild_read_model(connection, [row.id for row in before["models"]])
            after = {name: list(connection.execute(select(getattr(tables, name)))) for name in names}
            connection.rollback()
        for name in names:
            assert sorted(before[name], key=repr) == sorted(after[name], key=repr), name

    @invariant()
    def all_is_settled(self) -> None:
        """After a scan and the hashing of what it found."""
        if not hasattr(self, "engine") or not self.settled:
            return
        assert self.compare() == 0
        model_of = {row.id: row.model_id for row in self.rows("versions")}
        present = [row for row in self.rows("files") if row.missing_since is None]
        assert sorted(Path(row.root) / os.fsdecode(row.path) for row in present) == self.here()
        found: dict[bytes, set[int]] = defaultdict(set)
        for row in present:
            assert row.hashed_at is not None
            raw = (Path(row.root) / os.fsdecode(row.path)).read_bytes()
            found[raw[8 + int.from_bytes(raw[:8], "little") :]].add(row.version_id)
        assert all(len(owners) == 1 for owners in found.values()), found
        now = {content: model_of[owner] for content, (owner,) in found.items()}
        exist = {row.id for row in self.rows("models")}
        for content, before in self.ids.items():
            after = now.get(content, before)
            assert after == before or (after < before and before not in exist) or self.catalogued, (
                content,
                before,
                after,
            )
        self.ids |= now
        self.settled = False


@pytest.fixture(autouse=True)
def template(sqlite: Path) -> None:
    """Where an empty database lies."""
    Folders.template = sqlite


class TestFolders(Folders.TestCase):  # type: ignore[name-defined,misc]
    """The machine, as a test."""

    # Without shrinking: it would take minutes.
    settings = settings(
        max_examples=25,
        stateful_step_count=25,
        deadline=None,
        phases=(Phase.reuse, Phase.generate),
    )
