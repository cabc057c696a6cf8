"""Files that are no whole models, and the report of problems, in SQLite and PostgreSQL."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import select, update

from stores.library import tables
from tests.support.images import build_zip
from tests.support.indexed_folder import IndexedFolder
from tests.support.model_files import build_gguf, write_safetensors


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


@pytest.mark.parametrize("extension", ["ckpt", "pt", "gguf", "safetensors"])
def test_downloads_that_were_cut_at_one_place_stay_apart(library: IndexedFolder, extension: str) -> None:
    """They are named by what they are, and each is the model itself once it is whole."""
    whole = {
        "gguf": build_gguf({"general.architecture": "flux"}, {"a": (0, (300,))}),
        "safetensors": write_safetensors(library.folder / "x.safetensors", data=b"x" * 1200).read_bytes(),
    }.get(extension, build_zip())
    (library.folder / "x.safetensors").unlink()
    paths = [library.folder / f"{name}.{extension}" for name in "ab"]
    for path in paths:
        path.write_bytes(whole[: len(whole) * 2 // 3])
    library.scan()
    library.hash()
    ids = library.ids()
    assert library.names() == ["a", "b"]
    problems = library.stores.maintenance.list_problems(10)[0]
    assert [problem.code for problem in problems] == ["truncated", "truncated"]
    assert all("incomplete download" in problem.message for problem in problems)
    paths[0].write_bytes(whole)
    library.scan()
    library.hash()
    assert library.model_by_file() == {path.name: model_id for path, model_id in zip(paths, ids, strict=True)}
    assert library.names("has:problem") == ["b"]
    paths[1].write_bytes(whole)
    library.scan()
    library.hash()
    assert len(library.names("is:duplicate")) == len(library.names()) == 1


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
