"""Sidecars and previews beside models, in SQLite and PostgreSQL."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.scan_records import FileOnDisk, ScannedFile
from stores.library import tables
from tests.support.indexed_folder import IndexedFolder
from tests.support.model_files import write_safetensors
from workers.library.scanner import scan as scanning
from workers.library.scanner.read_file import read_model_file


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


def test_a_title_removed_from_the_header_is_removed(library: IndexedFolder) -> None:
    """A readable header replaces all of its earlier metadata."""
    path = write_safetensors(library.folder / "a.safetensors", metadata={"modelspec.title": "Title"})
    library.scan()
    assert library.names() == ["Title"]
    write_safetensors(path, metadata={})
    library.scan()
    assert library.names() == ["a"]


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


def test_the_picture_of_a_longer_name_is_not_kept(library: IndexedFolder) -> None:
    """One that lay beside a copy with a longer name is gone with its file, although it begins like the other name."""
    write_safetensors(library.folder / "ink.safetensors")
    longer = write_safetensors(library.folder / "inker.safetensors")
    picture = longer.with_suffix(".preview.png")
    picture.write_bytes(b"picture")
    library.scan()
    library.hash()
    assert library.count_rows("images") == 1
    picture.unlink()
    library.scan()
    assert library.count_rows("images") == 0
