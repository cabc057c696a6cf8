"""The library's index, in SQLite and in PostgreSQL: what a scan finds, and what stays what it was."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from schemas.library.query import Order, Sort, read_query
from stores.library import tables
from stores.library.hashing import Hashing
from stores.library.listing import Listing, Wanted
from stores.library.recording import Recording
from tests.conftest import FakeClock
from tests.model_files import catalogue, safetensors
from workers.library.hashing import Pace, digest
from workers.library.scanning import Part, Progress, Scan


@dataclass
class Library:
    """A folder of models, and its index."""

    folder: Path
    engine: Engine
    clock: FakeClock

    def scan(self, *, full: bool = False, below: bytes = b"") -> Progress:
        """One scan."""
        return Scan(Recording(self.engine, self.clock), (self.folder,)).run([Part(self.folder, below, full)])

    def hash(self) -> int:
        """Hash all that waits; how many files those are."""
        hashing, count = Hashing(self.engine, self.clock), 0
        while waiting := hashing.waiting([str(self.folder)], 1):
            found = digest(waiting[0], (self.folder,), Pace(0), lambda: True)
            assert hashing.settle(waiting[0], found.content, found.found)
            count += 1
        return count

    def ids(self, search: str = "") -> list[int]:
        """The models that a search finds, by name."""
        wanted = Wanted({}, read_query(search), Order(Sort.NAME, descending=False))
        page = Listing(self.engine).page(wanted, limit=100)
        assert page.total == len(page.ids)
        return page.ids

    def names(self, search: str = "") -> list[str]:
        """The names of the models that a search finds."""
        with self.engine.connect() as connection:
            query = select(tables.models.c.id, tables.models.c.name)
            names = {row.id: row.name for row in connection.execute(query)}
        return [names[ident] for ident in self.ids(search)]

    def write(self, model_id: int, field: str, value: str) -> None:
        """What a person writes."""
        with self.engine.begin() as connection:
            values = {"model_id": model_id, "field": field, "value": json.dumps(value), "edited_at": 0}
            connection.execute(tables.edits.insert().values(**values))

    def notes(self) -> dict[int, str]:
        """What people have written, by model."""
        with self.engine.connect() as connection:
            return {row.model_id: json.loads(row.value) for row in connection.execute(select(tables.edits))}

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(getattr(tables, table))).scalar_one())


@pytest.fixture
def library(engine: Engine, clock: FakeClock, tmp_path: Path) -> Library:
    """An empty one."""
    folder = tmp_path / "models"
    folder.mkdir()
    return Library(folder, engine, clock)


def test_what_is_there_is_found(library: Library) -> None:
    """And nothing else; what has not changed is not read again."""
    safetensors(library.folder / "loras" / "sdxl" / "Ink_Wash.safetensors")
    safetensors(library.folder / "checkpoints" / "base.safetensors")
    (library.folder / "readme.txt").write_text("no model")
    (library.folder / "vae").mkdir()
    (library.folder / "vae" / "old.ckpt").write_bytes(b"\x80\x02}q\x00.")

    progress = library.scan()
    assert (progress.files, progress.counts.added, progress.problems) == (3, 3, 0)
    assert library.names() == ["base", "Ink Wash", "old"]
    assert library.names("type:LORA") == ["Ink Wash"]
    assert library.names("is:pickle") == ["old"]
    again = library.scan()
    assert (again.files, again.read) == (3, 0)
    assert library.scan(full=True).read == 3


def test_two_files_are_two_models_whatever_they_are_called(library: Library) -> None:
    """Names that share a hash are none the less two."""
    safetensors(library.folder / "loras" / "sdxl" / "Aa_style.safetensors", data=b"a")
    safetensors(library.folder / "loras" / "sdxl" / "BB_style.safetensors", data=b"b")
    library.scan()
    library.hash()
    assert library.names() == ["Aa style", "BB style"]


Change = Callable[[Library, Path], None]


def rename(library: Library, path: Path) -> None:
    """Another name, another folder."""
    (library.folder / "loras" / "new").mkdir()
    path.rename(library.folder / "loras" / "new" / "other.safetensors")


def move_elsewhere(library: Library, path: Path) -> None:
    """As over the border of a file system: another inode, another time."""
    shutil.copyfile(path, library.folder / "copy.safetensors")
    path.unlink()


def edit_header(_library: Library, path: Path) -> None:
    """As a program does that writes tags into the file."""
    safetensors(path, metadata={"modelspec.title": "A much longer title"})


def touch(_library: Library, path: Path) -> None:
    """Another time, the same bytes."""
    os.utime(path, ns=(1, 1))


def leave_and_return(library: Library, path: Path) -> None:
    """Deleted, and downloaded again a week later."""
    content = path.read_bytes()
    path.unlink()
    library.scan()
    assert library.ids() == []
    path.write_bytes(content)


def replace_and_return(library: Library, path: Path) -> None:
    """Something else takes its place; then it comes back under another name."""
    content = path.read_bytes()
    safetensors(path, data=b"something else, and longer")
    library.scan()
    library.hash()
    path.unlink()
    path.with_name("returned.safetensors").write_bytes(content)


@pytest.mark.parametrize("change", [rename, move_elsewhere, edit_header, touch, leave_and_return, replace_and_return])
def test_a_model_is_known_by_its_content(library: Library, change: Change) -> None:
    """Its id, its notes and its pictures are still there."""
    path = safetensors(library.folder / "loras" / "ink.safetensors", metadata={"ss_output_name": "Ink"})
    library.scan()
    library.hash()
    [ident] = library.ids()
    library.write(ident, "notes", "mine")

    change(library, path)
    library.scan()
    library.hash()

    assert library.ids() == [ident]
    assert library.notes() == {ident: "mine"}


def test_files_swap_their_names(library: Library) -> None:
    """Each keeps what is its own."""
    first, second = (safetensors(library.folder / f"{name}.safetensors", data=name.encode() * 3) for name in "ab")
    library.scan()
    library.hash()
    a, b = library.ids()
    library.write(a, "notes", "of a")
    first.rename(library.folder / "c")
    second.rename(first)
    (library.folder / "c").rename(second)

    library.scan()
    library.hash()

    assert library.notes() == {a: "of a"}
    with library.engine.connect() as connection:
        joined = tables.files.join(tables.versions, tables.versions.c.id == tables.files.c.version_id)
        query = select(tables.files.c.name, tables.versions.c.model_id).select_from(joined)
        owners = {row.name: row.model_id for row in connection.execute(query)}
    assert owners == {"b.safetensors": a, "a.safetensors": b}


def test_the_same_tensors_twice_are_one_model(library: Library) -> None:
    """With two files; notes that were written on both stay, in one."""
    safetensors(library.folder / "a.safetensors")
    safetensors(library.folder / "copy.safetensors", metadata={"modelspec.title": "Another header"})
    library.scan()
    first, second = library.ids()
    library.write(first, "notes", "one")
    library.write(second, "notes", "two")
    assert library.hash() == 2

    [kept] = library.ids()
    assert kept == first
    assert library.ids("is:duplicate") == [first]
    assert library.notes() == {first: "one\n\ntwo"}
    assert library.count("versions") == 1


def test_epochs_are_versions_of_one_training(library: Library) -> None:
    """In the same folder and no further."""
    for name in ("mine-000010", "mine-000020", "mine_epoch_30", "other-e5"):
        safetensors(library.folder / "loras" / f"{name}.safetensors", data=name.encode())
    safetensors(library.folder / "elsewhere" / "mine-000010.safetensors", data=b"x")
    library.scan()
    library.hash()
    assert library.names() == ["mine", "mine", "other"]
    assert library.count("versions") == 5


def test_versions_of_the_catalogue_are_one_model(library: Library) -> None:
    """Also when its words come later, and beside those that are not here."""
    folder = library.folder / "loras"
    safetensors(folder / "one.safetensors", data=b"1")
    safetensors(folder / "two.safetensors", data=b"2")
    library.scan()
    library.hash()
    assert len(library.ids()) == 2
    for name, version in (("one", 11), ("two", 12)):
        (folder / f"{name}.api_info.json").write_text(json.dumps(catalogue(7, version)))
        answer = {"id": version, "modelId": 7, "name": f"v{version}", "model": {"name": "Ink", "type": "LORA"}}
        (folder / f"{name}.civitai.info").write_text(json.dumps(answer))
    library.scan()
    assert library.names() == ["Ink"]
    assert library.names("has:civitai tag:ink base:sdxl word11") == ["Ink"]
    assert library.count("versions") == 2
    assert library.count("models") == 1


@pytest.mark.parametrize("content", ["", "{}", "{", "[]", "null", "\x00"])
def test_an_empty_or_broken_sidecar_erases_nothing(library: Library, content: str) -> None:
    """What it said before is still believed; what is wrong with it is in the report."""
    path = safetensors(library.folder / "a.safetensors")
    sidecar = path.with_name("a.civitai.info")
    sidecar.write_text(json.dumps({"id": 1, "modelId": 2, "name": "v1", "model": {"name": "Ink", "type": "LORA"}}))
    library.scan()
    assert library.names() == ["Ink"]
    sidecar.write_text(content)
    os.utime(sidecar, ns=(5, 5))
    library.scan()
    assert library.names("has:metadata") == ["Ink"]
    sidecar.unlink()
    library.scan()
    assert library.names() == ["Ink"]


def test_a_broken_file_is_listed_with_its_fault(library: Library) -> None:
    """A download that broke off, a file that is none: in the report, and no crash."""
    path = safetensors(library.folder / "half.safetensors", data=b"x" * 100)
    path.write_bytes(path.read_bytes()[:-10])
    (library.folder / "none.safetensors").write_bytes(b"")
    (library.folder / "html.ckpt").write_bytes(b"<html>")
    progress = library.scan()
    assert progress.problems == 3
    assert library.names("has:problem") == ["half", "html", "none"]
    with library.engine.connect() as connection:
        codes = set(connection.execute(select(tables.problems.c.code)).scalars())
    assert codes == {"truncated", "too_short", "unknown_format"}
    safetensors(path)
    library.scan()
    assert library.names("has:problem") == ["html", "none"]


def test_links_are_followed_inside_only(library: Library, tmp_path: Path) -> None:
    """One that leads out is reported; one that leads in a circle ends."""
    outside = safetensors(tmp_path / "outside" / "secret.safetensors")
    inside = safetensors(library.folder / "real" / "a.safetensors")
    (library.folder / "link.safetensors").symlink_to(outside)
    (library.folder / "out").symlink_to(outside.parent)
    (library.folder / "real" / "circle").symlink_to(library.folder)
    (library.folder / "b.safetensors").symlink_to(inside)
    progress = library.scan()
    assert progress.files == 2
    assert progress.problems == 2
    library.hash()
    assert library.names() == ["a"] or library.names() == ["b"]


def test_names_that_are_no_text_are_names(library: Library) -> None:
    """Bytes that are not UTF-8, newlines, quotes, marks that turn the direction."""
    folder = os.fsencode(library.folder)
    for name in (b"a\xff.safetensors", b"new\nline.safetensors", b"'\".safetensors", "\u202eabc.safetensors".encode()):
        source = safetensors(library.folder / "x", data=name)
        os.rename(source, os.path.join(folder, name))  # noqa: PTH104, PTH118 - bytes
    assert library.scan().counts.added == 4
    library.hash()
    assert len(library.ids()) == 4
    assert library.scan().read == 0


def test_a_folder_that_cannot_be_reached_takes_nothing_away(library: Library) -> None:
    """As when a disk is not there: what is below it is neither lost nor forgotten."""
    safetensors(library.folder / "disk" / "a.safetensors")
    library.scan()
    shutil.move(library.folder, f"{library.folder}.away")
    library.scan()
    assert library.names() == ["a"]
    shutil.move(f"{library.folder}.away", library.folder)
    library.scan()
    assert library.names() == ["a"]


def test_a_part_is_scanned_by_itself(library: Library) -> None:
    """What lies elsewhere is left alone."""
    safetensors(library.folder / "a" / "1.safetensors")
    path = safetensors(library.folder / "b" / "2.safetensors")
    library.scan()
    path.unlink()
    safetensors(library.folder / "a" / "3.safetensors", data=b"3")
    assert library.scan(below=b"a").counts.added == 1
    assert library.names() == ["1", "2", "3"]
    assert library.scan(below=b"b").lost == 1
    assert library.names() == ["1", "3"]


def test_a_file_that_changes_while_it_is_hashed_is_hashed_again(library: Library) -> None:
    """Hashes of other bytes are not believed."""
    safetensors(library.folder / "a.safetensors")
    library.scan()
    hashing = Hashing(library.engine, library.clock)
    [waiting] = hashing.waiting([str(library.folder)], 5)
    with library.engine.begin() as connection:
        connection.execute(update(tables.files).values(mtime_ns=1))
    assert not hashing.settle(waiting, "tensors:1", {"SHA256": "1" * 64})
    assert hashing.left()[0] == 1
