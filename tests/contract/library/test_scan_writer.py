"""The library's index, in SQLite and in PostgreSQL: what a scan finds, and what stays what it was."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.scan_records import FileOnDisk, ScannedFile
from schemas.library.search_query import SortKey, SortOrder, parse_query
from stores.library import Library, tables
from stores.library.search import SearchFilter
from tests.conftest import FakeClock
from tests.support.model_files import civitai_model, write_safetensors
from workers.library.scanner import scan as scanning
from workers.library.scanner.hash_file import ByteRateLimiter, hash_file
from workers.library.scanner.read_file import read_model_file
from workers.library.scanner.scan import Scan, ScanProgress, ScanScope
from workers.library.scanner.walk import FolderWalk


@dataclass
class IndexedFolder:
    """A folder of models, and its index."""

    folder: Path
    engine: Engine
    clock: FakeClock

    @property
    def stores(self) -> Library:
        """The stores of the library."""
        return Library.from_engine(self.engine, self.clock)

    def scan(self, *, full: bool = False, below: bytes = b"") -> ScanProgress:
        """One scan."""
        return Scan(self.stores.scan_writer, (self.folder,)).run([ScanScope(self.folder, below, full)])

    def hash(self) -> int:
        """Hash all that waits; how many files those are."""
        hashing, count = self.stores.file_hashes, 0
        while waiting := hashing.list_pending([str(self.folder)], 1):
            found = hash_file(waiting[0], (self.folder,), ByteRateLimiter(0), lambda: True)
            assert hashing.record(waiting[0], found.content, found.hashes)
            count += 1
        return count

    def ids(self, search: str = "") -> list[int]:
        """The models that a search finds, by name."""
        wanted = SearchFilter({}, parse_query(search), SortOrder(SortKey.NAME, descending=False))
        page = self.stores.search.find_page(wanted, limit=100)
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
            connection.execute(tables.user_edits.insert().values(**values))

    def notes(self) -> dict[int, str]:
        """What people have written, by model."""
        with self.engine.connect() as connection:
            return {row.model_id: json.loads(row.value) for row in connection.execute(select(tables.user_edits))}

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(getattr(tables, table))).scalar_one())


@pytest.fixture
def library(engine: Engine, clock: FakeClock, tmp_path: Path) -> IndexedFolder:
    """An empty one."""
    folder = tmp_path / "models"
    folder.mkdir()
    return IndexedFolder(folder, engine, clock)


def test_what_is_there_is_found(library: IndexedFolder) -> None:
    """And nothing else; what has not changed is not read again."""
    write_safetensors(library.folder / "loras" / "sdxl" / "Ink_Wash.safetensors")
    write_safetensors(library.folder / "checkpoints" / "base.safetensors")
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


def test_two_files_are_two_models_whatever_they_are_called(library: IndexedFolder) -> None:
    """Names that share a hash are none the less two."""
    write_safetensors(library.folder / "loras" / "sdxl" / "Aa_style.safetensors", data=b"a")
    write_safetensors(library.folder / "loras" / "sdxl" / "BB_style.safetensors", data=b"b")
    library.scan()
    library.hash()
    assert library.names() == ["Aa style", "BB style"]


Change = Callable[[IndexedFolder, Path], None]


def rename(library: IndexedFolder, path: Path) -> None:
    """Another name, another folder."""
    (library.folder / "loras" / "new").mkdir()
    path.rename(library.folder / "loras" / "new" / "other.safetensors")


def move_elsewhere(library: IndexedFolder, path: Path) -> None:
    """As over the border of a file system: another inode, another time."""
    shutil.copyfile(path, library.folder / "copy.safetensors")
    path.unlink()


def edit_header(_library: IndexedFolder, path: Path) -> None:
    """As a program does that writes tags into the file."""
    write_safetensors(path, metadata={"modelspec.title": "A much longer title"})


def touch(_library: IndexedFolder, path: Path) -> None:
    """Another time, the same bytes."""
    os.utime(path, ns=(1, 1))


def leave_and_return(library: IndexedFolder, path: Path) -> None:
    """Deleted, and downloaded again a week later."""
    content = path.read_bytes()
    path.unlink()
    library.scan()
    assert library.ids() == []
    path.write_bytes(content)


def replace_and_return(library: IndexedFolder, path: Path) -> None:
    """Something else takes its place; then it comes back under another name."""
    content = path.read_bytes()
    write_safetensors(path, data=b"something else, and longer")
    library.scan()
    library.hash()
    path.unlink()
    path.with_name("returned.safetensors").write_bytes(content)


@pytest.mark.parametrize("change", [rename, move_elsewhere, edit_header, touch, leave_and_return, replace_and_return])
def test_a_model_is_known_by_its_content(library: IndexedFolder, change: Change) -> None:
    """Its id, its notes and its pictures are still there."""
    path = write_safetensors(library.folder / "loras" / "ink.safetensors", metadata={"ss_output_name": "Ink"})
    library.scan()
    library.hash()
    [ident] = library.ids()
    library.write(ident, "notes", "mine")

    change(library, path)
    library.scan()
    library.hash()

    assert library.ids() == [ident]
    assert library.notes() == {ident: "mine"}


def test_files_swap_their_names(library: IndexedFolder) -> None:
    """Each keeps what is its own."""
    first, second = (write_safetensors(library.folder / f"{name}.safetensors", data=name.encode() * 3) for name in "ab")
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


def test_the_same_tensors_twice_are_one_model(library: IndexedFolder) -> None:
    """With two files; notes that were written on both stay, in one."""
    write_safetensors(library.folder / "a.safetensors")
    write_safetensors(library.folder / "copy.safetensors", metadata={"modelspec.title": "Another header"})
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


def test_epochs_are_versions_of_one_training(library: IndexedFolder) -> None:
    """In the same folder and no further."""
    for name in ("mine-000010", "mine-000020", "mine_epoch_30", "other-e5"):
        write_safetensors(library.folder / "loras" / f"{name}.safetensors", data=name.encode())
    write_safetensors(library.folder / "elsewhere" / "mine-000010.safetensors", data=b"x")
    library.scan()
    library.hash()
    assert library.names() == ["mine", "mine", "other"]
    assert library.count("versions") == 5


def test_versions_of_the_catalogue_are_one_model(library: IndexedFolder) -> None:
    """Also when its words come later, and beside those that are not here."""
    folder = library.folder / "loras"
    write_safetensors(folder / "one.safetensors", data=b"1")
    write_safetensors(folder / "two.safetensors", data=b"2")
    library.scan()
    library.hash()
    assert len(library.ids()) == 2
    for name, version in (("one", 11), ("two", 12)):
        (folder / f"{name}.api_info.json").write_text(json.dumps(civitai_model(7, version)))
        answer = {"id": version, "modelId": 7, "name": f"v{version}", "model": {"name": "Ink", "type": "LORA"}}
        (folder / f"{name}.civitai.info").write_text(json.dumps(answer))
    library.scan()
    assert library.names() == ["Ink"]
    assert library.names("has:civitai tag:ink base:sdxl word11") == ["Ink"]
    assert library.count("versions") == 2
    assert library.count("models") == 1


@pytest.mark.parametrize("content", ["", "{}", "{", "[]", "null", "\x00"])
def test_an_empty_or_broken_sidecar_erases_nothing(library: IndexedFolder, content: str) -> None:
    """What it said before is still believed; what is wrong with it is in the report."""
    path = write_safetensors(library.folder / "a.safetensors")
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


def test_a_broken_file_is_listed_with_its_fault(library: IndexedFolder) -> None:
    """A download that broke off, a file that is none: in the report, and no crash."""
    path = write_safetensors(library.folder / "half.safetensors", data=b"x" * 100)
    path.write_bytes(path.read_bytes()[:-10])
    (library.folder / "none.safetensors").write_bytes(b"")
    (library.folder / "html.ckpt").write_bytes(b"<html>")
    progress = library.scan()
    assert progress.problems == 3
    assert library.names("has:problem") == ["half", "html", "none"]
    with library.engine.connect() as connection:
        codes = set(connection.execute(select(tables.problems.c.code)).scalars())
    assert codes == {"truncated", "too_short", "unknown_format"}
    write_safetensors(path)
    library.scan()
    assert library.names("has:problem") == ["html", "none"]


def test_links_are_followed_inside_only(library: IndexedFolder, tmp_path: Path) -> None:
    """One that leads out is reported; one that leads in a circle ends."""
    outside = write_safetensors(tmp_path / "outside" / "secret.safetensors")
    inside = write_safetensors(library.folder / "real" / "a.safetensors")
    (library.folder / "link.safetensors").symlink_to(outside)
    (library.folder / "out").symlink_to(outside.parent)
    (library.folder / "real" / "circle").symlink_to(library.folder)
    (library.folder / "b.safetensors").symlink_to(inside)
    progress = library.scan()
    assert progress.files == 2
    assert progress.problems == 2
    library.hash()
    assert library.names() == ["a"] or library.names() == ["b"]


def test_a_part_that_is_reached_by_a_link_is_scanned_where_it_lies(library: IndexedFolder, tmp_path: Path) -> None:
    """News of it names the link: what lies outside is no model, and nothing is found a second time by a loop."""
    write_safetensors(tmp_path / "outside" / "secret.safetensors")
    write_safetensors(library.folder / "loras" / "sdxl" / "a.safetensors")
    (library.folder / "loras" / "out").symlink_to(tmp_path / "outside")
    (library.folder / "loras" / "sdxl" / "loop").symlink_to(library.folder / "loras")
    (library.folder / "about").symlink_to(library.folder / "loras")
    library.scan()
    write_safetensors(library.folder / "loras" / "b.safetensors", data=b"b")
    for below in (b"loras/out", b"loras/sdxl/loop", b"about/sdxl/loop/sdxl", b"about", b"loras/sdxl"):
        library.scan(below=below)
        assert library.names() == ["a", "b"] or below == b"loras/out"
    assert sorted(owners(library)) == ["a.safetensors", "b.safetensors"]
    assert (library.scan().read, library.count("files")) == (0, 2)


def test_a_link_to_another_root_is_followed_and_its_news_are_of_both(library: IndexedFolder, tmp_path: Path) -> None:
    """Also to a folder that a walk does not go into by itself."""
    other, hidden = tmp_path / "other", library.folder / ".kept"
    for folder, name in ((other, "loras"), (hidden, "kept")):
        folder.mkdir()
        (library.folder / name).symlink_to(folder)
    scan = Scan(library.stores.scan_writer, (library.folder, other))
    scan.run([ScanScope(library.folder), ScanScope(other)])
    write_safetensors(other / "x.safetensors", data=b"x")
    write_safetensors(hidden / "y.safetensors", data=b"y")
    scan.run([ScanScope(library.folder, b"loras"), ScanScope(library.folder, b"kept")])
    with library.engine.connect() as connection:
        paths = sorted(connection.execute(select(tables.files.c.path)).scalars())
    assert paths == [b"kept/y.safetensors", b"loras/x.safetensors", b"x.safetensors"]


def test_what_is_swapped_for_a_link_after_it_was_seen_is_not_read(library: IndexedFolder, tmp_path: Path) -> None:
    """Neither a model nor what lies beside it, nor the folder of both."""
    secret = write_safetensors(tmp_path / "outside" / "a.safetensors", metadata={"modelspec.title": "Secret"})
    secret.with_name("a.civitai.info").write_text(json.dumps({"id": 1, "modelId": 2, "model": {"name": "Secret"}}))
    path = write_safetensors(library.folder / "in" / "a.safetensors")
    path.with_name("a.civitai.info").write_text("{}")
    [found] = FolderWalk(library.folder, [library.folder]).run()
    shutil.rmtree(path.parent)
    path.parent.symlink_to(secret.parent)
    seen = read_model_file(found, [library.folder])
    assert seen
    assert "Secret" not in str(seen)
    assert {problem.code for problem in seen.problems} == {"unreadable"}


def test_what_lies_beside_a_model_may_be_a_link(library: IndexedFolder, tmp_path: Path) -> None:
    """As long as it leads into the library's folders: sidecars and previews alike."""
    path = write_safetensors(library.folder / "a.safetensors")
    for ending, content in ((".civitai.info", {"id": 1, "modelId": 2, "model": {"name": "Linked"}}), (".png", "x")):
        target = library.folder / ".kept" / f"kept{ending}"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(content))
        path.with_name(f"a{ending}").symlink_to(target)
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"x")
    path.with_name("a.preview.png").symlink_to(outside)
    assert library.scan().problems == 0
    assert library.names() == ["Linked"]
    with library.engine.connect() as connection:
        assert list(connection.execute(select(tables.images.c.path)).scalars()) == [b"a.png"]


def test_names_that_are_no_text_are_names(library: IndexedFolder) -> None:
    """Bytes that are not UTF-8, newlines, quotes, marks that turn the direction."""
    folder = os.fsencode(library.folder)
    for name in (b"a\xff.safetensors", b"new\nline.safetensors", b"'\".safetensors", "\u202eabc.safetensors".encode()):
        source = write_safetensors(library.folder / "x", data=name)
        os.rename(source, os.path.join(folder, name))  # noqa: PTH104, PTH118 - bytes
    assert library.scan().counts.added == 4
    library.hash()
    assert len(library.ids()) == 4
    assert library.scan().read == 0


def test_a_folder_that_cannot_be_reached_takes_nothing_away(library: IndexedFolder) -> None:
    """As when a disk is not there: what is below it is neither lost nor forgotten."""
    write_safetensors(library.folder / "disk" / "a.safetensors")
    library.scan()
    shutil.move(library.folder, f"{library.folder}.away")
    library.scan()
    assert library.names() == ["a"]
    shutil.move(f"{library.folder}.away", library.folder)
    library.scan()
    assert library.names() == ["a"]


def test_a_part_is_scanned_by_itself(library: IndexedFolder) -> None:
    """What lies elsewhere is left alone."""
    write_safetensors(library.folder / "a" / "1.safetensors")
    path = write_safetensors(library.folder / "b" / "2.safetensors")
    library.scan()
    path.unlink()
    write_safetensors(library.folder / "a" / "3.safetensors", data=b"3")
    assert library.scan(below=b"a").counts.added == 1
    assert library.names() == ["1", "2", "3"]
    assert library.scan(below=b"b").lost == 1
    assert library.names() == ["1", "3"]


def test_a_file_that_changes_while_it_is_hashed_is_hashed_again(library: IndexedFolder) -> None:
    """Hashes of other bytes are not believed."""
    write_safetensors(library.folder / "a.safetensors")
    library.scan()
    hashing = library.stores.file_hashes
    [waiting] = hashing.list_pending([str(library.folder)], 5)
    with library.engine.begin() as connection:
        connection.execute(update(tables.files).values(mtime_ns=1))
    assert not hashing.record(waiting, "tensors:1", {"SHA256": "1" * 64})
    assert hashing.count_pending()[0] == 1


def owners(library: IndexedFolder) -> dict[str, int]:
    """The model of each file that is there, by the file's name."""
    joined = tables.files.join(tables.versions, tables.versions.c.id == tables.files.c.version_id)
    query = select(tables.files.c.name, tables.versions.c.model_id).select_from(joined)
    with library.engine.connect() as connection:
        return {
            row.name: row.model_id for row in connection.execute(query.where(tables.files.c.missing_since.is_(None)))
        }


@pytest.mark.parametrize("hashed", [True, False])
def test_files_of_one_size_and_time_swap_their_names(library: IndexedFolder, *, hashed: bool) -> None:
    """As those of one archive have them: each keeps what is its own, hashed or not."""
    first, second = (write_safetensors(library.folder / f"{name}.safetensors", data=name.encode()) for name in "ab")
    for path in (first, second):
        os.utime(path, ns=(7, 7))
    library.scan()
    if hashed:
        library.hash()
    before = owners(library)
    library.write(before["a.safetensors"], "notes", "of a")
    first.rename(library.folder / "c")
    second.rename(first)
    (library.folder / "c").rename(second)
    assert library.scan().counts.moved == 2
    after = owners(library)
    assert after == {"b.safetensors": before["a.safetensors"], "a.safetensors": before["b.safetensors"]}
    assert library.notes() == {before["a.safetensors"]: "of a"}


def test_another_file_of_the_same_size_and_time_is_noticed(library: IndexedFolder) -> None:
    """It lies elsewhere on the disk: its bytes are hashed before it is believed to be what it seems."""
    path = write_safetensors(library.folder / "a.safetensors", data=b"one!")
    os.utime(path, ns=(7, 7))
    library.scan()
    library.hash()
    [ident] = library.ids()
    other = write_safetensors(library.folder / "draft", data=b"two!")
    os.utime(other, ns=(7, 7))
    other.rename(path)
    library.scan()
    assert library.hash() == 1
    assert library.ids() != [ident]


def test_the_number_of_a_file_that_is_gone_is_given_to_another(library: IndexedFolder) -> None:
    """With the same size and time, but other tensors: nothing was moved."""
    path = write_safetensors(library.folder / "a.safetensors", data=b"12345678")
    os.utime(path, ns=(7, 7))
    library.scan()
    library.hash()
    [ident] = library.ids()
    size = path.stat().st_size
    # In its place, so that the disk's number is certainly the same.
    header = json.dumps({"v": {"dtype": "U8", "shape": [size - 80], "data_offsets": [0, size - 80]}}).encode()
    path.write_bytes((72).to_bytes(8, "little") + header.ljust(72) + b"x" * (size - 80))
    os.utime(path, ns=(7, 7))
    path.rename(library.folder / "b.safetensors")
    assert library.scan().counts.moved == 0
    library.hash()
    assert library.ids() != [ident]


def test_links_to_one_file_are_one_model(library: IndexedFolder) -> None:
    """Whichever of its names goes."""
    path = write_safetensors(library.folder / "a.safetensors")
    os.link(path, library.folder / "b.safetensors")
    library.scan()
    library.hash()
    [ident] = library.ids("is:duplicate")
    path.unlink()
    assert library.scan().counts.moved == 0
    library.hash()
    assert library.ids() == [ident]


def test_a_download_is_one_model_while_it_grows(library: IndexedFolder) -> None:
    """Half of it was hashed, even; what was written about it stays with it."""
    path = write_safetensors(library.folder / "a.safetensors", data=b"x" * 100)
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    library.scan()
    library.hash()
    [ident] = library.ids()
    library.write(ident, "notes", "coming")
    path.write_bytes(whole)
    library.scan()
    library.hash()
    assert library.ids() == [ident]
    assert library.notes() == {ident: "coming"}
    assert library.scan(full=True).counts.moved == 0
    assert library.ids("-has:problem") == [ident]


def test_a_file_that_is_replaced_before_it_was_hashed_is_known_by_its_place(library: IndexedFolder) -> None:
    """Nobody knows what it was: what was written about it stays there."""
    path = write_safetensors(library.folder / "a.safetensors", data=b"one")
    library.scan()
    [ident] = library.ids()
    library.write(ident, "notes", "mine")
    write_safetensors(path, data=b"another")
    library.scan()
    library.hash()
    assert library.ids() == [ident]


def test_a_title_that_is_taken_out_of_the_header_is_shown_no_more(library: IndexedFolder) -> None:
    """A header that can be read says all that it has to say."""
    path = write_safetensors(library.folder / "a.safetensors", metadata={"modelspec.title": "Title"})
    library.scan()
    assert library.names() == ["Title"]
    write_safetensors(path, metadata={})
    library.scan()
    assert library.names() == ["a"]


def info(library: IndexedFolder, name: str, model: int, version: int) -> None:
    """What a catalogue says of a file; later than what it said before."""
    path = library.folder / f"{name}.civitai.info"
    said = {"id": version, "modelId": model, "name": f"v{version}", "model": {"name": f"Model {model}", "type": "LORA"}}
    path.write_text(json.dumps(said))
    library.clock.advance(1)
    os.utime(path, ns=(library.clock.time_ms * 1_000_000, library.clock.time_ms * 1_000_000))


def test_a_catalogue_that_corrects_itself_is_believed(library: IndexedFolder) -> None:
    """The model keeps its id; where two versions of it turn out to be of two models, each goes where it belongs."""
    for name in "ab":
        write_safetensors(library.folder / f"{name}.safetensors", data=name.encode())
        info(library, name, 7, 11 if name == "a" else 12)
    library.scan()
    library.hash()
    [ident] = library.ids()
    library.write(ident, "notes", "of seven")
    info(library, "b", 8, 12)
    library.scan()
    assert library.names() == ["Model 7", "Model 8"]
    assert library.notes() == {ident: "of seven"}
    info(library, "a", 9, 11)
    library.scan()
    assert library.names() == ["Model 8", "Model 9"]
    assert library.notes() == {ident: "of seven"}
    info(library, "b", 9, 12)
    library.scan()
    assert library.names() == ["Model 9"]
    assert library.ids() == [ident]


def test_two_models_of_a_catalogue_with_one_content_are_one(library: IndexedFolder) -> None:
    """The newer word is believed, whichever of the files is looked at last; scanning all again changes nothing."""
    for name, model in (("a", 8), ("b", 7)):
        write_safetensors(library.folder / f"{name}.safetensors")
        info(library, name, model, model * 10)
    library.scan()
    library.hash()
    [ident] = library.ids()
    assert library.names() == ["Model 7"]
    for _ in range(2):
        library.scan(full=True)
        assert (library.ids(), library.names()) == ([ident], ["Model 7"])
    info(library, "a", 8, 80)
    library.scan()
    assert (library.ids(), library.names()) == ([ident], ["Model 8"])


def test_epochs_that_are_the_same_are_one_version(library: IndexedFolder) -> None:
    """With two files."""
    for name in ("mine-000010", "mine-000020"):
        write_safetensors(library.folder / f"{name}.safetensors")
    write_safetensors(library.folder / "mine-000030.safetensors", data=b"later")
    library.scan()
    [ident] = library.ids()
    library.hash()
    assert library.ids() == [ident]
    assert library.count("versions") == 2


def test_the_report_tells_of_what_is_there(library: IndexedFolder) -> None:
    """A file that could not be read is told of until it can be; one that is gone is not."""
    path = library.folder / "broken.safetensors"
    path.write_bytes(b"x")
    library.scan()
    upkeep = library.stores.maintenance
    library.scan()
    [problem] = upkeep.list_problems(10)[0]
    assert (problem.subject, problem.code, upkeep.get_counts()["problems"]) == (b"broken.safetensors", "too_short", 1)
    path.rename(path.with_name("moved.safetensors"))
    library.scan()
    assert [problem.path for problem in upkeep.list_problems(10)[0]] == [b"moved.safetensors"]
    path.with_name("moved.safetensors").unlink()
    library.scan()
    assert (upkeep.list_problems(10)[0], upkeep.get_counts()["problems"]) == ([], 0)


def test_what_a_walk_met_is_forgotten_with_its_root(library: IndexedFolder, tmp_path: Path) -> None:
    """What is wrong with a file that may come back is not."""
    (library.folder / "broken.safetensors").write_bytes(b"x")
    (library.folder / "out").symlink_to(tmp_path)
    library.scan()
    upkeep, recording = library.stores.maintenance, library.stores.scan_writer
    assert {problem.code for problem in upkeep.list_problems(10)[0]} == {"outside", "too_short"}
    recording.drop_roots_except([str(tmp_path / "other")])
    assert upkeep.list_problems(10)[0] == []
    assert library.scan().read == 0
    assert {problem.code for problem in upkeep.list_problems(10)[0]} == {"outside", "too_short"}


def test_a_copy_does_not_take_away_the_pictures_of_another(library: IndexedFolder) -> None:
    """Also when both are looked at again."""
    path = write_safetensors(library.folder / "a.safetensors")
    path.with_suffix(".preview.png").write_bytes(b"picture")
    write_safetensors(library.folder / "elsewhere" / "b.safetensors")
    library.scan()
    library.hash()
    for _ in range(2):
        library.scan(full=True)
        assert library.count("images") == 1


HOSTILE_WORDS = {
    "nul": {"modelspec.title": "a\x00b", "modelspec.description": "\x00"},
    "surrogate": {"modelspec.title": "\ud800", "modelspec.tags": "a,\udfff"},
    "numbers": {"ss_network_dim": "9" * 30, "ss_network_alpha": "1e400", "ss_epoch": "9" * 30},
    "small numbers": {"ss_network_dim": str(2**40)},
}


@pytest.mark.parametrize("name", HOSTILE_WORDS)
def test_what_no_database_can_hold_costs_no_other_file(library: IndexedFolder, name: str) -> None:
    """Neither in a header nor in a sidecar: the file is listed, and so are all that lie beside it."""
    write_safetensors(library.folder / "a.safetensors", data=b"a")
    path = write_safetensors(library.folder / "b.safetensors", data=b"b", metadata=HOSTILE_WORDS[name])
    write_safetensors(library.folder / "c.safetensors", data=b"c")
    said = {
        "id": 2**70,
        "modelId": 2**64,
        "name": "\x00",
        "trainedWords": ["\ud800", "\x00"],
        "stats": {"downloadCount": 2**80},
    }
    path.with_name("b.civitai.info").write_text(
        json.dumps(said | {"model": {"name": "\ud800\x00", "nsfwLevel": 2**70}})
    )
    path.with_name("c.json").write_text(json.dumps({"notes": "\x00\ud800", "preferred weight": 1e308}))
    assert library.scan().files == 3
    library.hash()
    assert len(library.ids()) == 3
    assert library.scan().read == 0


def test_a_file_that_cannot_be_written_down_whole_is_listed_bare(
    library: IndexedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, and in the report; the others of its batch as they are."""
    for name in "abc":
        write_safetensors(library.folder / f"{name}.safetensors", data=name.encode())

    def hostile(found: FileOnDisk, roots: Sequence[Path]) -> ScannedFile | None:
        seen = read_model_file(found, roots)
        if seen is None or found.path != b"b.safetensors":
            return seen
        return replace(
            seen,
            source_metadata=(
                SourceMetadata(Source.HEADER, SourcePriority.HEADER, Metadata(name="\ud800", civitai_id=2**80)),
            ),
        )

    monkeypatch.setattr(scanning, "read_model_file", hostile)
    library.scan()
    library.hash()
    assert library.names() == ["a", "b", "c"]
    assert library.names("has:problem") == ["b"]
    assert library.scan().read == 0
