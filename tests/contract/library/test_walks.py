"""What a scan finds on disk, in SQLite and PostgreSQL: folders, links, names, and roots that are missing."""

import json
import os
import shutil
from pathlib import Path

from sqlalchemy import select

from stores.library import tables
from tests.support.indexed_folder import IndexedFolder
from tests.support.model_files import write_safetensors
from workers.library.scanner.read_file import read_model_file
from workers.library.scanner.scan import Scan, ScanScope
from workers.library.scanner.walk import FolderWalk


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
