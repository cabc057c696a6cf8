"""The index in SQLite and PostgreSQL: which files a scan finds, and which changes keep a model's identity."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.scan_records import FileOnDisk, ScannedFile
from stores.library import tables
from tests.conftest import FakeClock
from tests.support.indexed_folder import IndexedFolder
from tests.support.model_files import civitai_model, write_safetensors
from workers.library.scanner import scan as scanning
from workers.library.scanner.read_file import read_model_file
from workers.library.scanner.scan import Scan, ScanScope
from workers.library.scanner.walk import FolderWalk


@pytest.fixture
def library(engine: Engine, clock: FakeClock, tmp_path: Path) -> IndexedFolder:
    """An empty folder and its index."""
    folder = tmp_path / "models"
    folder.mkdir()
    return IndexedFolder(folder, engine, clock)


def test_a_scan_finds_model_files(library: IndexedFolder) -> None:
    """It finds no other files, and does not read unchanged files again."""
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


def test_epochs_in_one_folder_are_versions_of_one_model(library: IndexedFolder) -> None:
    """Epochs in other folders are other models."""
    for name in ("mine-000010", "mine-000020", "mine_epoch_30", "other-e5"):
        write_safetensors(library.folder / "loras" / f"{name}.safetensors", data=name.encode())
    write_safetensors(library.folder / "elsewhere" / "mine-000010.safetensors", data=b"x")
    library.scan()
    library.hash()
    assert library.names() == ["mine", "mine", "other"]
    assert library.count_rows("versions") == 5


def test_versions_of_one_civitai_model_are_merged(library: IndexedFolder) -> None:
    """This holds also if the Civitai metadata comes after the first scan."""
    folder = library.folder / "loras"
    write_safetensors(folder / "one.safetensors", data=b"1")
    write_safetensors(folder / "two.safetensors", data=b"2")
    library.scan()
    library.hash()
    assert len(library.ids()) == 2
    for name, version in (("one", 11), ("two", 12)):
        (folder / f"{name}.api_info.json").write_text(json.dumps(civitai_model(7, version)))
        sidecar = {"id": version, "modelId": 7, "name": f"v{version}", "model": {"name": "Ink", "type": "LORA"}}
        (folder / f"{name}.civitai.info").write_text(json.dumps(sidecar))
    library.scan()
    assert library.names() == ["Ink"]
    assert library.names("has:civitai tag:ink base:sdxl word11") == ["Ink"]
    assert library.count_rows("versions") == 2
    assert library.count_rows("models") == 1


@pytest.mark.parametrize("content", ["", "{}", "{", "[]", "null", "\x00"])
def test_a_broken_or_deleted_sidecar_erases_nothing(library: IndexedFolder, content: str) -> None:
    """Its earlier metadata stays."""
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


def test_a_broken_file_is_listed_with_its_problem(library: IndexedFolder) -> None:
    """Incomplete downloads and files that are no models do not stop the scan."""
    path = write_safetensors(library.folder / "half.safetensors", data=b"x" * 100)
    path.write_bytes(path.read_bytes()[:-10])
    (library.folder / "none.safetensors").write_bytes(b"")
    (library.folder / "html.ckpt").write_bytes(b"<html>")
    progress = library.scan()
    assert progress.problems == 3
    assert library.names("has:problem") == ["half", "html", "none"]
    with library.engine.connect() as connection:
        codes = set(connection.execute(select(tables.problems.c.code)).scalars())
    assert codes == {"truncated", "empty", "html"}
    write_safetensors(path)
    library.scan()
    assert library.names("has:problem") == ["html", "none"]


def test_links_are_followed_inside_the_library_only(library: IndexedFolder, tmp_path: Path) -> None:
    """A link out of the library is reported, and a loop of links ends."""
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


def test_a_subfolder_behind_a_link_is_scanned_at_its_real_path(library: IndexedFolder, tmp_path: Path) -> None:
    """Folders outside are not indexed, and a loop finds nothing twice."""
    write_safetensors(tmp_path / "outside" / "secret.safetensors")
    write_safetensors(library.folder / "loras" / "sdxl" / "a.safetensors")
    (library.folder / "loras" / "out").symlink_to(tmp_path / "outside")
    (library.folder / "loras" / "sdxl" / "loop").symlink_to(library.folder / "loras")
    (library.folder / "about").symlink_to(library.folder / "loras")
    library.scan()
    write_safetensors(library.folder / "loras" / "b.safetensors", data=b"b")
    for below in (b"loras/out", b"loras/sdxl/loop", b"about/sdxl/loop/sdxl", b"about", b"loras/sdxl"):
        library.scan(subfolder=below)
        assert library.names() == ["a", "b"] or below == b"loras/out"
    assert sorted(library.model_by_file()) == ["a.safetensors", "b.safetensors"]
    assert (library.scan().read, library.count_rows("files")) == (0, 2)


def test_a_changed_folder_behind_a_link_is_scanned_below_both_roots(library: IndexedFolder, tmp_path: Path) -> None:
    """This includes a folder that a walk of its root skips."""
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


def test_a_folder_replaced_by_a_link_after_the_walk_is_not_read(library: IndexedFolder, tmp_path: Path) -> None:
    """Neither the model nor its sidecar is read."""
    secret = write_safetensors(tmp_path / "outside" / "a.safetensors", metadata={"modelspec.title": "Secret"})
    secret.with_name("a.civitai.info").write_text(json.dumps({"id": 1, "modelId": 2, "model": {"name": "Secret"}}))
    path = write_safetensors(library.folder / "in" / "a.safetensors")
    path.with_name("a.civitai.info").write_text("{}")
    [file] = FolderWalk(library.folder, [library.folder]).run()
    shutil.rmtree(path.parent)
    path.parent.symlink_to(secret.parent)
    scanned = read_model_file(file, [library.folder])
    assert scanned
    assert "Secret" not in str(scanned)
    assert {problem.code for problem in scanned.problems} == {"unreadable"}


def test_companions_may_be_links_into_the_library(library: IndexedFolder, tmp_path: Path) -> None:
    """This holds for sidecars and previews; links out of the library are ignored."""
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


def test_file_names_may_be_any_bytes(library: IndexedFolder) -> None:
    """Invalid UTF-8, newlines, quotes and bidirectional controls are accepted."""
    folder = os.fsencode(library.folder)
    for name in (b"a\xff.safetensors", b"new\nline.safetensors", b"'\".safetensors", "\u202eabc.safetensors".encode()):
        source = write_safetensors(library.folder / "x", data=name)
        os.rename(source, os.path.join(folder, name))  # noqa: PTH104, PTH118 - bytes
    assert library.scan().counts.added == 4
    library.hash()
    assert len(library.ids()) == 4
    assert library.scan().read == 0


def test_an_unreachable_root_loses_nothing(library: IndexedFolder) -> None:
    """An example is a disk that is not mounted."""
    write_safetensors(library.folder / "disk" / "a.safetensors")
    library.scan()
    shutil.move(library.folder, f"{library.folder}.away")
    library.scan()
    assert library.names() == ["a"]
    shutil.move(f"{library.folder}.away", library.folder)
    library.scan()
    assert library.names() == ["a"]


def test_a_subfolder_is_scanned_alone(library: IndexedFolder) -> None:
    """Files elsewhere are left as they are."""
    write_safetensors(library.folder / "a" / "1.safetensors")
    path = write_safetensors(library.folder / "b" / "2.safetensors")
    library.scan()
    path.unlink()
    write_safetensors(library.folder / "a" / "3.safetensors", data=b"3")
    assert library.scan(subfolder=b"a").counts.added == 1
    assert library.names() == ["1", "2", "3"]
    assert library.scan(subfolder=b"b").lost == 1
    assert library.names() == ["1", "3"]


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


def test_a_title_removed_from_the_header_is_removed(library: IndexedFolder) -> None:
    """A readable header replaces all of its earlier metadata."""
    path = write_safetensors(library.folder / "a.safetensors", metadata={"modelspec.title": "Title"})
    library.scan()
    assert library.names() == ["Title"]
    write_safetensors(path, metadata={})
    library.scan()
    assert library.names() == ["a"]


def write_civitai_info(library: IndexedFolder, name: str, model: int, version: int) -> None:
    """Write a Civitai sidecar, newer than the one before."""
    path = library.folder / f"{name}.civitai.info"
    sidecar = {
        "id": version,
        "modelId": model,
        "name": f"v{version}",
        "model": {"name": f"Model {model}", "type": "LORA"},
    }
    path.write_text(json.dumps(sidecar))
    library.clock.advance(1)
    os.utime(path, ns=(library.clock.time_ms * 1_000_000, library.clock.time_ms * 1_000_000))


def test_corrected_civitai_metadata_is_applied(library: IndexedFolder) -> None:
    """A model keeps its id; a version that belongs to another model moves there."""
    for name in "ab":
        write_safetensors(library.folder / f"{name}.safetensors", data=name.encode())
        write_civitai_info(library, name, 7, 11 if name == "a" else 12)
    library.scan()
    library.hash()
    [model_id] = library.ids()
    library.write_edit(model_id, "notes", "of seven")
    write_civitai_info(library, "b", 8, 12)
    library.scan()
    assert library.names() == ["Model 7", "Model 8"]
    assert library.edits() == {model_id: "of seven"}
    write_civitai_info(library, "a", 9, 11)
    library.scan()
    assert library.names() == ["Model 8", "Model 9"]
    assert library.edits() == {model_id: "of seven"}
    write_civitai_info(library, "b", 9, 12)
    library.scan()
    assert library.names() == ["Model 9"]
    assert library.ids() == [model_id]


def test_equal_content_of_two_civitai_models_is_one_model(library: IndexedFolder) -> None:
    """The newer metadata wins, in whichever order the files are scanned."""
    for name, model in (("a", 8), ("b", 7)):
        write_safetensors(library.folder / f"{name}.safetensors")
        write_civitai_info(library, name, model, model * 10)
    library.scan()
    library.hash()
    [model_id] = library.ids()
    assert library.names() == ["Model 7"]
    for _ in range(2):
        library.scan(full=True)
        assert (library.ids(), library.names()) == ([model_id], ["Model 7"])
    write_civitai_info(library, "a", 8, 80)
    library.scan()
    assert (library.ids(), library.names()) == ([model_id], ["Model 8"])


def test_equal_epochs_are_one_version(library: IndexedFolder) -> None:
    """The version has two files."""
    for name in ("mine-000010", "mine-000020"):
        write_safetensors(library.folder / f"{name}.safetensors")
    write_safetensors(library.folder / "mine-000030.safetensors", data=b"later")
    library.scan()
    [model_id] = library.ids()
    library.hash()
    assert library.ids() == [model_id]
    assert library.count_rows("versions") == 2


def test_the_report_has_problems_of_present_files(library: IndexedFolder) -> None:
    """They stay until they are solved; problems of deleted files are hidden."""
    path = library.folder / "broken.safetensors"
    path.write_bytes(b"x")
    library.scan()
    maintenance = library.stores.maintenance
    library.scan()
    [problem] = maintenance.list_problems(10)[0]
    assert (problem.subject, problem.code, maintenance.get_counts()["problems"]) == (
        b"broken.safetensors",
        "too_short",
        1,
    )
    path.rename(path.with_name("moved.safetensors"))
    library.scan()
    assert [problem.path for problem in maintenance.list_problems(10)[0]] == [b"moved.safetensors"]
    path.with_name("moved.safetensors").unlink()
    library.scan()
    assert (maintenance.list_problems(10)[0], maintenance.get_counts()["problems"]) == ([], 0)


def test_walk_problems_are_deleted_with_their_root(library: IndexedFolder, tmp_path: Path) -> None:
    """Problems of files are kept in case the root comes back."""
    (library.folder / "broken.safetensors").write_bytes(b"x")
    (library.folder / "out").symlink_to(tmp_path)
    library.scan()
    maintenance, scan_writer = library.stores.maintenance, library.stores.scan_writer
    assert {problem.code for problem in maintenance.list_problems(10)[0]} == {"outside", "too_short"}
    scan_writer.drop_roots_except([str(tmp_path / "other")])
    assert maintenance.list_problems(10)[0] == []
    assert library.scan().read == 0
    assert {problem.code for problem in maintenance.list_problems(10)[0]} == {"outside", "too_short"}


def test_a_copy_without_preview_keeps_the_preview(library: IndexedFolder) -> None:
    """It keeps the preview also when both files are scanned again."""
    path = write_safetensors(library.folder / "a.safetensors")
    path.with_suffix(".preview.png").write_bytes(b"picture")
    write_safetensors(library.folder / "elsewhere" / "b.safetensors")
    library.scan()
    library.hash()
    for _ in range(2):
        library.scan(full=True)
        assert library.count_rows("images") == 1


UNSTORABLE_METADATA = {
    "nul": {"modelspec.title": "a\x00b", "modelspec.description": "\x00"},
    "surrogate": {"modelspec.title": "\ud800", "modelspec.tags": "a,\udfff"},
    "numbers": {"ss_network_dim": "9" * 30, "ss_network_alpha": "1e400", "ss_epoch": "9" * 30},
    "small numbers": {"ss_network_dim": str(2**40)},
}


@pytest.mark.parametrize("name", UNSTORABLE_METADATA)
def test_values_that_no_database_stores_affect_no_other_file(library: IndexedFolder, name: str) -> None:
    """In a header or a sidecar they do not keep the other files of the batch from being indexed."""
    write_safetensors(library.folder / "a.safetensors", data=b"a")
    path = write_safetensors(library.folder / "b.safetensors", data=b"b", metadata=UNSTORABLE_METADATA[name])
    write_safetensors(library.folder / "c.safetensors", data=b"c")
    sidecar = {
        "id": 2**70,
        "modelId": 2**64,
        "name": "\x00",
        "trainedWords": ["\ud800", "\x00"],
        "stats": {"downloadCount": 2**80},
    }
    path.with_name("b.civitai.info").write_text(
        json.dumps(sidecar | {"model": {"name": "\ud800\x00", "nsfwLevel": 2**70}})
    )
    path.with_name("c.json").write_text(json.dumps({"notes": "\x00\ud800", "preferred weight": 1e308}))
    assert library.scan().files == 3
    library.hash()
    assert len(library.ids()) == 3
    assert library.scan().read == 0


def test_a_file_whose_metadata_cannot_be_stored_is_listed_by_name(
    library: IndexedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a problem in the report; the other files of its batch are complete."""
    for name in "abc":
        write_safetensors(library.folder / f"{name}.safetensors", data=name.encode())

    def hostile(file: FileOnDisk, roots: Sequence[Path]) -> ScannedFile | None:
        scanned = read_model_file(file, roots)
        if scanned is None or file.path != b"b.safetensors":
            return scanned
        return replace(
            scanned,
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


JUNK = {
    "empty": b"",
    "html": b"<!DOCTYPE html><html><body>Sign in to download this model</body></html>",
    "text": b"Entry not found",
    "lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("content", JUNK.values(), ids=JUNK)
@pytest.mark.parametrize("extension", ["safetensors", "ckpt", "gguf"])
def test_equal_files_that_are_no_models_stay_apart(library: IndexedFolder, content: bytes, extension: str) -> None:
    """Each keeps its own edits; one that is replaced by a model is that model alone."""
    code = next(code for code, raw in JUNK.items() if raw == content)
    paths = [library.folder / f"{name}.{extension}" for name in "ab"]
    for path in paths:
        path.write_bytes(content)
    library.scan()
    library.hash()
    ids = library.ids()
    assert library.names() == ["a", "b"]
    assert library.names("is:duplicate") == []
    for number, model_id in enumerate(ids):
        library.write_edit(model_id, "notes", f"note {number}")
    problems = library.stores.maintenance.list_problems(10)[0]
    assert [problem.code for problem in problems] == [code, code]
    assert library.stores.file_hashes.find_models(hashlib.sha256(content).hexdigest()) == []

    library.scan(full=True)
    library.hash()
    assert library.edits() == {ids[0]: "note 0", ids[1]: "note 1"}
    if extension == "safetensors":
        write_safetensors(paths[0])
        library.scan()
        library.hash()
        assert library.model_by_file() == {"a.safetensors": ids[0], "b.safetensors": ids[1]}
        assert library.names("has:problem") == ["b"]


def test_incomplete_downloads_stay_apart(library: IndexedFolder) -> None:
    """Files that end at the same place, and files whose tensors are not written yet."""
    whole = write_safetensors(library.folder / "whole.safetensors", data=b"x" * 100).read_bytes()
    for name in "ab":
        (library.folder / f"cut-{name}.safetensors").write_bytes(whole[:-10])
        write_safetensors(library.folder / f"reserved-{name}.safetensors", data=bytes(100))
    library.scan()
    library.hash()
    assert library.names() == ["cut-a", "cut-b", "reserved-a", "reserved-b", "whole"]
    reserved = library.model_by_file()["reserved-a.safetensors"]
    (library.folder / "reserved-a.safetensors").write_bytes(whole)
    library.scan()
    library.hash()
    by_file = library.model_by_file()
    assert by_file["reserved-a.safetensors"] == by_file["whole.safetensors"]
    assert by_file["reserved-b.safetensors"] not in (reserved, by_file["whole.safetensors"])


def test_files_that_were_joined_as_equal_part_again(library: IndexedFolder) -> None:
    """An index of an earlier release has them as one model."""
    for name in "abc":
        (library.folder / f"{name}.safetensors").write_bytes(JUNK["html"])
    library.scan()
    library.hash()
    first = min(library.ids())
    with library.engine.begin() as connection:
        version = select(tables.files.c.version_id).order_by(tables.files.c.id).limit(1).scalar_subquery()
        connection.execute(update(tables.files).values(content="sha256:0", version_id=version, hashed_at=1))
    assert set(library.model_by_file().values()) == {first}
    library.scan(full=True)
    library.hash()
    assert len(set(library.model_by_file().values())) == 3


def test_a_lora_is_one_wherever_it_lies(library: IndexedFolder) -> None:
    """By its tensors or by its sidecar, if no folder says what it is."""
    tensor = {"dtype": "U8", "shape": [1, 1], "data_offsets": [4, 5]}
    key = "lora_unet_mid_block_proj_in.lora_up.weight"
    for name in ("ink", "style/wash"):
        path = write_safetensors(
            library.folder / f"{name}.safetensors", data=name[:4].encode().ljust(4), **{key: tensor}
        )
        path.write_bytes(path.read_bytes() + b"x")
    write_safetensors(library.folder / "named.safetensors", data=b"named")
    (library.folder / "named.civitai.info").write_text(json.dumps({"id": 1, "model": {"name": "N", "type": "LoCon"}}))
    library.scan()
    assert library.names("category:lora") == ["ink", "N", "wash"]
    assert library.names("type:lora") == ["ink", "wash"]
    assert library.names("subcategory:style") == ["wash"]


def test_companions_in_other_capitals_belong_to_the_model(library: IndexedFolder) -> None:
    """Unless another model has exactly their stem; the newest picture is the first."""
    write_safetensors(library.folder / "Foo.safetensors", data=b"1")
    (library.folder / "foo.civitai.info").write_text(json.dumps({"id": 1, "model": {"name": "Named"}}))
    for name in ("\u00e9", "bar", "BAR"):
        write_safetensors(library.folder / f"{name}.safetensors", data=name.encode())
    (library.folder / "e\u0301.json").write_text(json.dumps({"activation text": "accent"}))
    (library.folder / "bar.json").write_text(json.dumps({"activation text": "small"}))
    for name, time_ns in (("foo.preview.png", 1), ("foo.png", 2)):
        (library.folder / name).write_bytes(b"x")
        os.utime(library.folder / name, ns=(time_ns, time_ns))
    library.scan()
    assert library.names("has:words") == ["bar", "\u00e9"]
    assert library.names("Named") == ["Named"]
    with library.engine.connect() as connection:
        query = select(tables.images.c.slot).order_by(tables.images.c.sort_order)
        assert list(connection.execute(query).scalars()) == ["preview.png", "preview.preview.png"]
    assert library.scan().read == 0
