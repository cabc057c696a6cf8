"""The library commands export and import."""

import json
import os
from pathlib import Path

import pytest

from schemas.library.sidecars import SUPPORTED_FIELDS
from tests.integration.library.commands.conftest import LibraryUnderTest
from tests.support.model_files import civitai_model, write_safetensors
from workers.library.cli.import_export import FORMATS, file_metadata


def add_described_model(lib: LibraryUnderTest) -> None:
    """Add a model with metadata from its header, a Civitai sidecar and user edits."""
    path = write_safetensors(lib.folder / "loras" / "ink-mid_7-vid_11.safetensors", metadata={"modelspec.title": "Ink"})

    answer = civitai_model(7, 11, 12, description="<p>Ink.</p>", creator={"username": "someone"}, nsfw=False)
    path.with_name(f"{path.stem}.api_info.json").write_text(json.dumps(answer))
    lib.scan()
    [model] = lib.models()
    lib.library.user_edits.write(model.id, {"notes": "Mine.", "tags": ["ink", "my own"]})


@pytest.mark.parametrize("form", FORMATS)
def test_exported_sidecars_are_imported_completely(
    lib: LibraryUnderTest, other: LibraryUnderTest, form: str, tmp_path: Path
) -> None:
    """Another library with the same file under another name gets every field that the format supports."""
    add_described_model(lib)
    done = lib.run("export", form, "--into", str(tmp_path / "out"))
    assert (done.exit_code, done.stdout) == (0, "1 files written, 0 skipped, 0 failed.\n")
    [source] = lib.folder.rglob("*.safetensors")
    # The civitdl layout is recognized by the file's name, so that format needs the original name.
    name = source.name if form == "civitdl" else "renamed.safetensors"
    (other.folder / name).write_bytes(source.read_bytes())
    other.scan()
    assert other.run("import", str(tmp_path / "out")).stdout.startswith("1 files imported, 0")
    [before], [after] = lib.models(), other.models()
    [lib_file], [other_file] = (
        [(version, file) for version in model.versions for file in version.files] for model in (before, after)
    )
    expected, actual = file_metadata(before, *lib_file), file_metadata(after, *other_file)
    # The export adds the file itself to the listed versions, so only their ids are comparable.
    assert [version.id for version in actual.versions] == [
        version.id for version in expected.versions if actual.versions
    ]
    for field in SUPPORTED_FIELDS[FORMATS[form]] - {"versions"}:
        assert getattr(actual, field) == getattr(expected, field), field


def test_export_overwrites_only_with_force(lib: LibraryUnderTest) -> None:
    """Files are replaced atomically; a failed one leaves no temporary file."""
    add_described_model(lib)
    [model] = lib.folder.rglob("*.safetensors")
    sidecar = model.with_name(f"{model.stem}.metadata.json")
    sidecar.write_text("mine")
    assert lib.run("export", "lora-manager").stdout == "0 files written, 1 skipped, 0 failed.\n"
    assert sidecar.read_text() == "mine"
    assert lib.run("export", "lora-manager", "--force").exit_code == 0
    assert json.loads(sidecar.read_text())["notes"] == "Mine."
    sidecar.unlink()
    sidecar.mkdir()
    (sidecar / "inner").touch()
    failed = lib.run("export", "lora-manager", "--force")
    assert (failed.exit_code, failed.stdout) == (1, "0 files written, 0 skipped, 1 failed.\n")
    assert not [path for path in model.parent.iterdir() if path.name.endswith(".tmp")]


def test_export_continues_after_a_name_that_is_too_long(lib: LibraryUnderTest) -> None:
    """The other files are written; the command reports the failure and exits with 1."""
    for stem in ("a", "b" * 240, "c" * 243, "d"):
        write_safetensors(lib.folder / f"{stem}.safetensors", data=stem.encode())
    lib.scan()
    done = lib.run("export", "lora-manager")
    assert (done.exit_code, done.stdout) == (1, "3 files written, 0 skipped, 1 failed.\n")
    assert "File name too long" in done.stderr
    assert len(list(lib.folder.glob("*.metadata.json"))) == 3


def test_import_prefers_hashes_to_names(lib: LibraryUnderTest, tmp_path: Path) -> None:
    """A sidecar with another file's hash applies to that file. Broken sidecars and pipes are skipped."""
    for name in ("a", "b", "c"):
        write_safetensors(lib.folder / f"{name}.safetensors", data=name.encode() * 9)
    lib.scan()
    [b] = lib.models("b")
    sha256 = b.versions[0].files[0].hashes["SHA256"]
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "a.civitai.info").write_text(
        json.dumps({"id": 1, "modelId": 2, "files": [{"hashes": {"SHA256": sha256}}]})
    )
    (folder / "b.metadata.json").write_text("{")
    (folder / "c.cm-info.json").symlink_to("/dev/zero")
    os.mkfifo(folder / "c.civitai.info")
    (folder / "c.json").write_text(json.dumps({"description": "of c", "notes": "by name"}))
    done = lib.run("import", str(folder))
    assert (done.exit_code, done.stdout) == (0, "2 files imported, 3 without a matching model.\n")
    assert done.stderr.count("not read") == 3
    assert [model.civitai_id for model in lib.models()] == [None, 2, None]
    assert lib.models("c")[0].metadata.notes == "by name"
