"""Files that cannot be opened for a while, in SQLite and PostgreSQL: nothing is lost, and they are tried again."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import Engine

from schemas.library.scan_records import FileProblem
from tests.conftest import FakeClock
from tests.support.access_rights import obeying_file_modes
from tests.support.indexed_folder import IndexedFolder
from tests.support.model_files import civitai_model, write_safetensors
from workers.library.scanner import walk


@pytest.fixture
def library(engine: Engine, clock: FakeClock, tmp_path: Path) -> Iterator[IndexedFolder]:
    """A folder with a model, its sidecar and its picture, and the index; file modes hold for root too."""
    folder = tmp_path / "models"
    model = write_safetensors(folder / "ink.safetensors", metadata={"ss_base_model_version": "sdxl_base_v1-0"})
    model.with_suffix(".civitai.info").write_text(json.dumps(civitai_model(7, 11, name="Ink Wash")))
    Image.new("RGB", (8, 8)).save(model.with_suffix(".preview.png"))
    with obeying_file_modes():
        yield IndexedFolder(folder, engine, clock)


def problems(library: IndexedFolder) -> list[tuple[str, str]]:
    """Return the subjects and codes of the report."""
    found: list[FileProblem] = library.stores.maintenance.list_problems(10)[0]
    return sorted((problem.subject.decode(), problem.code) for problem in found)


@pytest.mark.parametrize("name", ["ink.safetensors", "ink.civitai.info", "ink.preview.png"])
def test_what_could_not_be_opened_is_tried_at_the_next_scan(library: IndexedFolder, name: str) -> None:
    """Its problem stays as long as it cannot be opened, through any number of scans, and not longer."""
    (library.folder / name).chmod(0)
    library.scan()
    for _ in range(3):
        library.scan()
        assert problems(library) == [(name, "unreadable")]
    (library.folder / name).chmod(0o644)
    assert library.scan().read == 1
    assert problems(library) == []
    [model] = library.stores.models.get_many(library.ids(), with_versions=True)
    [version] = [version for version in model.versions if version.is_local]
    assert (model.name, version.metadata.trained_words) == ("Ink Wash", ("word11",))
    assert (version.files[0].header["tensors"], len(version.images)) == (1, 1)
    assert library.scan().read == 0


@pytest.mark.parametrize("name", ["ink.safetensors", "ink.civitai.info", "ink.preview.png"])
def test_what_cannot_be_opened_any_more_loses_nothing(library: IndexedFolder, name: str) -> None:
    """What an earlier scan has read stays."""
    library.scan()
    library.hash()
    before = library.stores.models.get_many(library.ids(), with_versions=True)
    (library.folder / name).chmod(0)
    library.scan(full=True)
    assert problems(library) == [(name, "unreadable")]
    [model], [known] = library.stores.models.get_many(library.ids(), with_versions=True), before
    assert (model.id, model.metadata, model.hero) == (known.id, known.metadata, known.hero)
    [file], [known_file] = ([file for version in each.versions for file in version.files] for each in (model, known))
    assert (file.header, file.hashes, file.is_hashed) == (known_file.header, known_file.hashes, True)


def test_an_entry_whose_state_cannot_be_read_is_not_missing(
    library: IndexedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails once for the model file; the file is not gone."""
    library.scan()
    [model_id] = library.ids()

    class FailingEntry:
        """An entry of a folder on a disk that fails."""

        def __init__(self, entry: "os.DirEntry[bytes]") -> None:
            self.name, self.is_symlink, self.is_dir, self.is_file = (
                entry.name,
                entry.is_symlink,
                entry.is_dir,
                entry.is_file,
            )

        def stat(self) -> os.stat_result:
            """Fail as the system call does."""
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    classify = walk.FolderWalk._classify

    def failing(self: walk.FolderWalk, path: bytes, entry: "os.DirEntry[bytes]", listing: walk.FolderListing) -> None:
        is_model = entry.name == b"ink.safetensors"
        classify(self, path, FailingEntry(entry) if is_model else entry, listing)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(walk.FolderWalk, "_classify", failing)
        assert library.scan().lost == 0
    assert (library.ids("is:local"), problems(library)) == ([model_id], [("ink.safetensors", "unreadable")])
    library.scan()
    assert (library.ids("is:local"), problems(library)) == ([model_id], [])


def test_files_indexed_by_other_readers_are_read_again(library: IndexedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release whose readers find more reads everything once, also files with nothing beside them."""
    write_safetensors(library.folder / "alone.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(walk, "READERS_VERSION", walk.READERS_VERSION - 1)
        library.scan()
        assert library.scan().read == 0
    assert (library.scan().read, library.scan().read) == (2, 0)
