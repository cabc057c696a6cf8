"""Which changes on disk keep a model's identity, in SQLite and PostgreSQL."""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from sqlalchemy import update

from stores.library import tables
from stores.library.index.scan_writer import ScanWriter
from tests.support.indexed_folder import IndexedFolder
from tests.support.model_files import write_safetensors
from workers.library.scanner.scan import Scan, ScanScope


def test_names_do_not_merge_models(library: IndexedFolder) -> None:
    """Models whose names have the same hash stay apart."""
    write_safetensors(library.folder / "loras" / "sdxl" / "Aa_style.safetensors", data=b"a")
    write_safetensors(library.folder / "loras" / "sdxl" / "BB_style.safetensors", data=b"b")
    library.scan()
    library.hash()
    assert library.names() == ["Aa style", "BB style"]


FileChange = Callable[[IndexedFolder, Path], None]


def rename(library: IndexedFolder, path: Path) -> None:
    """Rename into another folder."""
    (library.folder / "loras" / "new").mkdir()
    path.rename(library.folder / "loras" / "new" / "other.safetensors")


def move_to_other_file_system(library: IndexedFolder, path: Path) -> None:
    """Copy and delete, as a move between file systems does: inode and time change."""
    shutil.copyfile(path, library.folder / "copy.safetensors")
    path.unlink()


def edit_header(_library: IndexedFolder, path: Path) -> None:
    """Rewrite the header, as programs do that write tags into the file."""
    write_safetensors(path, metadata={"modelspec.title": "A much longer title"})


def touch(_library: IndexedFolder, path: Path) -> None:
    """Change the modification time and keep the bytes."""
    os.utime(path, ns=(1, 1))


def delete_and_restore(library: IndexedFolder, path: Path) -> None:
    """Delete the file, and download it again later."""
    content = path.read_bytes()
    path.unlink()
    library.scan()
    assert library.ids() == []
    path.write_bytes(content)


def replace_and_restore(library: IndexedFolder, path: Path) -> None:
    """Replace the file; the old content comes back under another name."""
    content = path.read_bytes()
    write_safetensors(path, data=b"something else, and longer")
    library.scan()
    library.hash()
    path.unlink()
    path.with_name("returned.safetensors").write_bytes(content)


@pytest.mark.parametrize(
    "change", [rename, move_to_other_file_system, edit_header, touch, delete_and_restore, replace_and_restore]
)
def test_a_model_is_identified_by_its_content(library: IndexedFolder, change: FileChange) -> None:
    """It keeps its id and its edits."""
    path = write_safetensors(library.folder / "loras" / "ink.safetensors", metadata={"ss_output_name": "Ink"})
    library.scan()
    library.hash()
    [model_id] = library.ids()
    library.write_edit(model_id, "notes", "mine")

    change(library, path)
    library.scan()
    library.hash()

    assert library.ids() == [model_id]
    assert library.edits() == {model_id: "mine"}


def test_hashed_files_swap_names(library: IndexedFolder) -> None:
    """Each keeps its own model."""
    first, second = (write_safetensors(library.folder / f"{name}.safetensors", data=name.encode() * 3) for name in "ab")
    library.scan()
    library.hash()
    a, b = library.ids()
    library.write_edit(a, "notes", "of a")
    first.rename(library.folder / "c")
    second.rename(first)
    (library.folder / "c").rename(second)

    library.scan()
    library.hash()

    assert library.edits() == {a: "of a"}
    assert library.model_by_file() == {"b.safetensors": a, "a.safetensors": b}


def test_files_move_between_folders_that_are_scanned_at_the_same_time(
    library: IndexedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the other scan has found is not missing, and one that it has not yet found keeps its model."""
    roots = (library.folder, tmp_path / "second", tmp_path / "third")
    for root in roots[1:]:
        root.mkdir()
    moved, displaced, renamed = (
        write_safetensors(library.folder / f"{name}.safetensors", data=name.encode() * 3) for name in "mdr"
    )
    library.scan()
    before, mark_missing = library.model_by_file(), ScanWriter.mark_missing
    moved.rename(roots[1] / "moved.safetensors")
    displaced.rename(roots[1] / "displaced.safetensors")
    renamed.rename(displaced)

    def scan_others_first(self: ScanWriter, root: str, ids: Iterable[int]) -> None:
        if root == str(library.folder):
            for other in (roots[2], roots[1]):
                Scan(library.stores.scan_writer, roots).run([ScanScope(other)])
        mark_missing(self, root, ids)

    monkeypatch.setattr(ScanWriter, "mark_missing", scan_others_first)
    Scan(library.stores.scan_writer, roots).run([ScanScope(library.folder)])
    assert library.model_by_file() == {
        "moved.safetensors": before["m.safetensors"],
        "displaced.safetensors": before["d.safetensors"],
        "d.safetensors": before["r.safetensors"],
    }
    assert library.ids("is:missing") == []


def test_equal_tensors_are_one_model(library: IndexedFolder) -> None:
    """The model has two files, and notes about both are joined."""
    write_safetensors(library.folder / "a.safetensors")
    write_safetensors(library.folder / "copy.safetensors", metadata={"modelspec.title": "Another header"})
    library.scan()
    first, second = library.ids()
    library.write_edit(first, "notes", "one")
    library.write_edit(second, "notes", "two")
    assert library.hash() == 2

    [kept] = library.ids()
    assert kept == first
    assert library.ids("is:duplicate") == [first]
    assert library.edits() == {first: "one\n\ntwo"}
    assert library.count_rows("versions") == 1


def test_a_file_that_changes_while_it_is_hashed_is_hashed_again(library: IndexedFolder) -> None:
    """Hashes of its old bytes are not stored."""
    write_safetensors(library.folder / "a.safetensors")
    library.scan()
    file_hashes = library.stores.file_hashes
    [pending] = file_hashes.list_pending([str(library.folder)], 5)
    with library.engine.begin() as connection:
        connection.execute(update(tables.files).values(mtime_ns=1))
    assert not file_hashes.record(pending, "tensors:1", {"SHA256": "1" * 64})
    assert file_hashes.count_pending()[0] == 1


@pytest.mark.parametrize("hashed", [True, False])
def test_files_with_equal_size_and_time_swap_names(library: IndexedFolder, *, hashed: bool) -> None:
    """Files unpacked from one archive keep their own models, hashed or not."""
    first, second = (write_safetensors(library.folder / f"{name}.safetensors", data=name.encode()) for name in "ab")
    for path in (first, second):
        os.utime(path, ns=(7, 7))
    library.scan()
    if hashed:
        library.hash()
    before = library.model_by_file()
    library.write_edit(before["a.safetensors"], "notes", "of a")
    first.rename(library.folder / "c")
    second.rename(first)
    (library.folder / "c").rename(second)
    assert library.scan().counts.moved == 2
    after = library.model_by_file()
    assert after == {"b.safetensors": before["a.safetensors"], "a.safetensors": before["b.safetensors"]}
    assert library.edits() == {before["a.safetensors"]: "of a"}


def test_a_replacement_with_equal_size_and_time_is_noticed(library: IndexedFolder) -> None:
    """Its inode differs; it is hashed and becomes another model."""
    path = write_safetensors(library.folder / "a.safetensors", data=b"one!")
    os.utime(path, ns=(7, 7))
    library.scan()
    library.hash()
    [model_id] = library.ids()
    other = write_safetensors(library.folder / "draft", data=b"two!")
    os.utime(other, ns=(7, 7))
    other.rename(path)
    library.scan()
    assert library.hash() == 1
    assert library.ids() != [model_id]


def test_a_reused_inode_is_no_move(library: IndexedFolder) -> None:
    """Other tensors with the same inode, size and time are another file."""
    path = write_safetensors(library.folder / "a.safetensors", data=b"12345678")
    os.utime(path, ns=(7, 7))
    library.scan()
    library.hash()
    [model_id] = library.ids()
    size = path.stat().st_size
    # In its place, so that the disk's number is certainly the same.
    header = json.dumps({"v": {"dtype": "U8", "shape": [size - 80], "data_offsets": [0, size - 80]}}).encode()
    path.write_bytes((72).to_bytes(8, "little") + header.ljust(72) + b"x" * (size - 80))
    os.utime(path, ns=(7, 7))
    path.rename(library.folder / "b.safetensors")
    assert library.scan().counts.moved == 0
    library.hash()
    assert library.ids() != [model_id]


def test_hard_links_are_one_model(library: IndexedFolder) -> None:
    """Deleting one of the links is not a move."""
    path = write_safetensors(library.folder / "a.safetensors")
    os.link(path, library.folder / "b.safetensors")
    library.scan()
    library.hash()
    [model_id] = library.ids("is:duplicate")
    path.unlink()
    assert library.scan().counts.moved == 0
    library.hash()
    assert library.ids() == [model_id]


def test_a_growing_download_stays_one_model(library: IndexedFolder) -> None:
    """It keeps its edits even if its first half was hashed."""
    path = write_safetensors(library.folder / "a.safetensors", data=b"x" * 100)
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    library.scan()
    library.hash()
    [model_id] = library.ids()
    library.write_edit(model_id, "notes", "coming")
    path.write_bytes(whole)
    library.scan()
    library.hash()
    assert library.ids() == [model_id]
    assert library.edits() == {model_id: "coming"}
    assert library.scan(full=True).counts.moved == 0
    assert library.ids("-has:problem") == [model_id]


def test_a_file_replaced_before_hashing_is_identified_by_its_path(library: IndexedFolder) -> None:
    """Its old content is unknown, so edits stay with the path."""
    path = write_safetensors(library.folder / "a.safetensors", data=b"one")
    library.scan()
    [model_id] = library.ids()
    library.write_edit(model_id, "notes", "mine")
    write_safetensors(path, data=b"another")
    library.scan()
    library.hash()
    assert library.ids() == [model_id]
