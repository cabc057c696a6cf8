"""Invariants of the library under any sequence of changes to its files."""

import json
import os
import shutil
import tempfile
from collections import defaultdict
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
from tests.support.library_counts import check_counts
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


class LibraryMachine(RuleBasedStateMachine):
    """Two folders of models, and a user who changes them."""

    template: Path

    @initialize(files=st.lists(st.tuples(places, contents), max_size=4), with_civitai_metadata=st.booleans())
    def begin(self, files: list[tuple[tuple[str, str], bytes]], with_civitai_metadata: bool) -> None:
        """Start with some hashed files, with Civitai metadata or without."""
        self.base = Path(tempfile.mkdtemp(prefix="dr-machine-"))
        self.roots = (self.base / "one", self.base / "two")
        for folder in FOLDERS:
            (self.base / folder).mkdir(parents=True)
        url = f"sqlite:///{shutil.copyfile(self.template, self.base / 'db.sqlite3')}"
        self.engine: Engine = open_database(url)
        self.clock = FakeClock()
        self.library = Library.from_engine(self.engine, self.clock)
        self.counter = 0
        self.notes: dict[str, int] = {}
        self.user_images: set[str] = set()
        self.is_settled = False
        self.ids: dict[bytes, int] = {}
        self.has_civitai_metadata = with_civitai_metadata
        for place, content in files:
            self.write_file(place, content, "")
        self.settle(full=False)

    def teardown(self) -> None:
        """Close and delete everything."""
        if hasattr(self, "engine"):
            self.engine.dispose()
            shutil.rmtree(self.base)

    def model_path(self, place: tuple[str, str]) -> Path:
        """Return the path of a model file."""
        return self.base / place[0] / f"{place[1]}.safetensors"

    def model_files(self) -> list[Path]:
        """Return all model files on disk."""
        return sorted(self.base.glob("*/**/*.safetensors"))

    def set_time(self, path: Path, *, shared: bool = False) -> None:
        """Set a new modification time, or one that many files share, as unpacked archives have."""
        self.counter += 1
        time_ns = 0 if shared else self.counter * SECOND_NS
        os.utime(path, ns=(time_ns, time_ns))
        self.is_settled = False

    def keep_inode(self, path: Path) -> None:
        """Hard-link a file elsewhere before it is deleted, so that its inode is not reused at once."""
        if path.exists():
            self.counter += 1
            os.link(path, self.base / f"grave {self.counter}")
            path.unlink()

    @rule(place=places, content=contents, title=st.sampled_from(["", "Old", "New"]))
    def write_file(self, place: tuple[str, str], content: bytes, title: str) -> None:
        """Create or overwrite a file."""
        self.set_time(
            write_safetensors(
                self.model_path(place), data=content, metadata={"modelspec.title": title} if title else None
            )
        )

    @rule(place=places, content=contents)
    def replace_by_rename(self, place: tuple[str, str], content: bytes) -> None:
        """Write a new file and rename it over the old one, as downloaders do; the inode changes."""
        draft = write_safetensors(self.model_path(place).with_name(".draft"), data=content)
        self.set_time(draft, shared=True)
        self.keep_inode(self.model_path(place))
        draft.replace(self.model_path(place))

    @precondition(lambda self: self.model_files())
    @rule(data=st.data(), place=places)
    def move_file(self, data: st.DataObject, place: tuple[str, str]) -> None:
        """Move a file, replacing any file at the target."""
        source, target = data.draw(st.sampled_from(self.model_files())), self.model_path(place)
        if source != target:
            self.keep_inode(target)
            source.rename(target)
        self.is_settled = False

    @precondition(lambda self: self.model_files())
    @rule(data=st.data(), place=places, link=st.booleans())
    def copy_file(self, data: st.DataObject, place: tuple[str, str], link: bool) -> None:
        """Copy or hard-link a file."""
        source, target = data.draw(st.sampled_from(self.model_files())), self.model_path(place)
        if source == target:
            return
        self.keep_inode(target)
        if link:
            os.link(source, target)
        else:
            shutil.copy2(source, target)
        self.is_settled = False

    @precondition(lambda self: len(self.model_files()) > 1)
    @rule(data=st.data())
    def swap_files(self, data: st.DataObject) -> None:
        """Swap the names of two files."""
        first, second = data.draw(st.lists(st.sampled_from(self.model_files()), min_size=2, max_size=2, unique=True))
        spare = first.with_name(".spare")
        first.rename(spare)
        second.rename(first)
        spare.rename(second)
        self.is_settled = False

    @precondition(lambda self: self.model_files())
    @rule(data=st.data())
    def delete_file(self, data: st.DataObject) -> None:
        """Delete a file."""
        self.keep_inode(data.draw(st.sampled_from(self.model_files())))
        self.is_settled = False

    @precondition(lambda self: self.model_files())
    @rule(data=st.data())
    def touch_file(self, data: st.DataObject) -> None:
        """Change the modification time of a file and keep its bytes."""
        self.set_time(data.draw(st.sampled_from(self.model_files())))

    # Other metadata may move a content to another model; without any, each keeps its model.
    @precondition(lambda self: self.has_civitai_metadata)
    @rule(
        place=places, model=st.sampled_from([None, 7, 8]), version=st.sampled_from([11, 12]), text=st.sampled_from("12")
    )
    def write_sidecar(self, place: tuple[str, str], model: int | None, version: int, text: str) -> None:
        """Create, change or break a sidecar."""
        path = self.model_path(place).with_suffix(".civitai.info")
        about = {"name": f"Ink {model}", "type": "LORA"}
        sidecar = {"id": version, "modelId": model, "name": f"v{text}", "model": about}
        path.write_text(json.dumps(sidecar) if model else "{")
        self.set_time(path)

    @rule(place=places)
    def delete_sidecar(self, place: tuple[str, str]) -> None:
        """Delete a sidecar."""
        self.model_path(place).with_suffix(".civitai.info").unlink(missing_ok=True)
        self.is_settled = False

    @rule(place=places)
    def write_preview(self, place: tuple[str, str]) -> None:
        """Write a preview image."""
        self.model_path(place).with_suffix(".preview.png").write_bytes(b"picture")
        self.is_settled = False

    @rule(data=st.data(), image=st.booleans())
    def add_user_data(self, data: st.DataObject, image: bool) -> None:
        """Write notes about a model on disk, replacing earlier ones, or add a user image."""
        shown = self.rows("models")
        ids = sorted(row.id for row in shown if row.files)
        if not ids:
            return
        model_id = data.draw(st.sampled_from(ids))
        self.clock.advance(1)
        if image:
            key = f"library/{len(self.user_images)}.png"
            self.library.images.add(model_id, None, {"media_key": key, "nsfw_level": 0, "params": {}})
            self.user_images.add(key)
            return
        text = f"<{self.clock.time_ms}>"
        replaced = [row for row in self.rows("user_edits") if row.model_id == model_id]
        self.notes = {
            note: place for note, place in self.notes.items() if not any(note in row.value for row in replaced)
        }
        self.library.user_edits.write(model_id, {"notes": text})
        self.notes[text] = model_id

    @rule(full=st.booleans())
    def run_scan(self, full: bool) -> None:
        """Scan both folders."""
        self.scan(full=full)

    @rule()
    def hash_pending(self) -> None:
        """Hash all pending files."""
        self.hash_all()

    @rule()
    def settle_at_once(self) -> None:
        """Scan and hash, as the indexer does while it watches the folders."""
        self.settle(full=False)

    @rule(full=st.booleans())
    def settle(self, full: bool) -> None:
        """Scan and hash until nothing is pending."""
        self.scan(full=full)
        self.hash_all()
        self.is_settled = True

    def scan(self, *, full: bool = False) -> int:
        """Run one scan; return how many files it read."""
        return Scan(self.library.scan_writer, self.roots).run([ScanScope(root, full=full) for root in self.roots]).read

    def hash_all(self) -> None:
        """Hash all pending files once."""
        for pending in self.library.file_hashes.list_pending(list(map(str, self.roots)), 100):
            try:
                hashed = hash_file(pending, self.roots, ByteRateLimiter(0), lambda: True)
            except Exception as error:
                if type(error).__name__ in ("NotFound", "FileChangedError"):
                    continue
                raise
            self.library.file_hashes.record(pending, hashed.content, hashed.hashes)

    def rows(self, table: str) -> list:
        """Return all rows of a table."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(getattr(tables, table))))

    @invariant()
    def no_row_is_an_orphan(self) -> None:
        """In every state, each row belongs to rows that exist."""
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
        paths = {(row.root, row.path) for row in self.rows("files")}
        assert {(row.root, row.path) for row in self.rows("problems")} <= paths

    @invariant()
    def no_user_data_is_lost(self) -> None:
        """In every state, each note belongs to exactly one model, and each user image exists."""
        if not hasattr(self, "engine"):
            return
        written = [row.value for row in self.rows("user_edits")]
        for text in self.notes:
            assert sum(text in value for value in written) == 1, (text, written)
        assert sorted(row.media_key for row in self.rows("images") if row.slot is None) == sorted(self.user_images)

    @invariant()
    def the_read_model_is_current(self) -> None:
        """In every state, rebuilding the read model changes nothing."""
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
    def the_counts_are_exact(self) -> None:
        """What triggers have counted is what there is."""
        check_counts(self.engine, self.library)

    @invariant()
    def the_index_matches_the_disk(self) -> None:
        """After scanning and hashing, each content is one version, and models keep their ids."""
        if not hasattr(self, "engine") or not self.is_settled:
            return
        assert self.scan() == 0
        model_of = {row.id: row.model_id for row in self.rows("versions")}
        present = [row for row in self.rows("files") if row.missing_since is None]
        assert sorted(Path(row.root) / os.fsdecode(row.path) for row in present) == self.model_files()
        versions_of: dict[bytes, set[int]] = defaultdict(set)
        for row in present:
            assert row.hashed_at is not None
            raw = (Path(row.root) / os.fsdecode(row.path)).read_bytes()
            versions_of[raw[8 + int.from_bytes(raw[:8], "little") :]].add(row.version_id)
        assert all(len(owners) == 1 for owners in versions_of.values()), versions_of
        now = {content: model_of[owner] for content, (owner,) in versions_of.items()}
        exist = {row.id for row in self.rows("models")}
        for content, before in self.ids.items():
            after = now.get(content, before)
            assert after == before or (after < before and before not in exist) or self.has_civitai_metadata, (
                content,
                before,
                after,
            )
        self.ids |= now
        self.is_settled = False


@pytest.fixture(autouse=True)
def template(sqlite: Path) -> None:
    """Provide an empty database."""
    LibraryMachine.template = sqlite


class TestLibraryMachine(LibraryMachine.TestCase):  # type: ignore[name-defined,misc]
    """The state machine as a test."""

    # Without shrinking: it would take minutes.
    settings = settings(
        max_examples=25,
        stateful_step_count=25,
        deadline=None,
        phases=(Phase.reuse, Phase.generate),
    )


def test_a_sidecar_may_move_a_content_to_another_model() -> None:
    """The epochs of a training run are one model until Civitai names another one for a file; the others stay."""
    machine = LibraryMachine()
    first, second = ((FOLDERS[0], name) for name in NAMES[1:])
    try:
        machine.begin(files=[(first, b"cccc"), (second, b"bbbb")], with_civitai_metadata=True)
        ids = []
        for model in (7, 8):
            machine.write_sidecar(first, model, 11, "1")
            machine.settle(full=False)
            machine.no_row_is_an_orphan()
            machine.the_index_matches_the_disk()
            ids.append(dict(machine.ids))
    finally:
        machine.teardown()

    assert ids[0][b"cccc"] == ids[0][b"bbbb"] == ids[1][b"bbbb"]
    assert ids[1][b"cccc"] > ids[1][b"bbbb"]
