"""The library commands backup and restore."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.integration.library.commands.conftest import PNG, THUMB, LibraryUnderTest
from tests.support.model_files import write_safetensors


def user_data(lib: LibraryUnderTest) -> list[tuple[str | None, tuple[str, ...], list[tuple[str | None, Any]]]]:
    """Return notes, tags and uploaded images of all models."""
    return [
        (model.metadata.notes, model.metadata.tags, [(image.prompt, image.params) for image in model.images])
        for model in lib.models()
    ]


@pytest.mark.parametrize("first", ["files", "backup"])
@pytest.mark.parametrize("hashed", [True, False])
def test_a_backup_is_restored_in_another_library(
    lib: LibraryUnderTest, other: LibraryUnderTest, tmp_path: Path, first: str, hashed: bool
) -> None:
    """The files may arrive before or after, hashed or not; restoring is idempotent."""
    for name in ("a", "b-000010", "b-000020", "c"):
        write_safetensors(lib.folder / "loras" / f"{name}.safetensors", data=name.encode())
    if hashed:
        lib.scan()
    else:
        lib.run("scan")
    a, b, _ = lib.models()
    lib.library.user_edits.write(a.id, {"notes": "Of a."})
    lib.library.user_edits.write(b.id, {"notes": "Of b.", "tags": ["mine"]})
    lib.add_image(b.id, "lighthouse")
    assert lib.run("backup", str(tmp_path / "backup.zip")).stdout == "2 models, 1 images.\n"

    def copy() -> None:
        for path in lib.folder.rglob("*.safetensors"):
            target = other.folder / "elsewhere" / path.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
        other.scan()

    if first == "files":
        copy()
    for _ in range(2):
        waiting = 0 if first == "files" else 2
        done = other.run("restore", str(tmp_path / "backup.zip"))
        assert done.stdout == f"2 models restored, {waiting} of them wait for their files.\n"
    if first == "backup":
        copy()
    other.scan()
    assert user_data(other) == user_data(lib)
    assert [len(model.versions) for model in other.models()] == [1, 2, 1]
    assert other.media.get("library/lighthouse.png") == PNG
    assert other.media.get("library/lighthouse-thumb.webp") == THUMB


def test_restore_keeps_newer_edits(lib: LibraryUnderTest, tmp_path: Path) -> None:
    """A backup overwrites only older values."""
    write_safetensors(lib.folder / "a.safetensors")
    lib.scan()
    [a] = lib.models()
    lib.library.user_edits.write(a.id, {"notes": "old", "name": "Named"})
    lib.run("backup", str(tmp_path / "backup.zip"))
    lib.library.user_edits.write(a.id, {"notes": "new", "name": None})
    assert lib.run("restore", str(tmp_path / "backup.zip")).exit_code == 0
    [a] = lib.models()
    assert (a.metadata.notes, a.name) == ("new", "Named")


def test_a_backup_with_a_missing_image_is_restored_without_it(
    lib: LibraryUnderTest, other: LibraryUnderTest, tmp_path: Path
) -> None:
    """Both commands name the missing image. A model without files keeps its name."""
    write_safetensors(lib.folder / "ink.safetensors")
    lib.scan()
    [model] = lib.models()
    lib.library.user_edits.write(model.id, {"notes": "Mine."})
    for name in ("stored", "lost"):
        lib.add_image(model.id, name)
    lib.media.delete("library/lost.png")
    made = lib.run("backup", str(tmp_path / "backup.zip"))
    assert (made.exit_code, "library/lost.png" in made.stderr) == (0, True)
    done = other.run("restore", str(tmp_path / "backup.zip"))
    assert (done.exit_code, "library/lost.png" in done.stderr) == (0, True)
    [waiting] = other.models("is:missing")
    assert (waiting.name, waiting.metadata.notes) == ("ink", "Mine.")
    assert [image.prompt for image in waiting.images] == ["a stored"]


IMAGE = {
    "media_key": "library/x.png",
    "thumb_key": None,
    "media_type": "image/png",
    "width": 1,
    "height": 1,
    "nsfw_level": 0,
    "blurhash": None,
    "prompt": None,
    "params": "{}",
    "sort_order": 0,
    "created_at": 0,
    "job_id": None,
}


VALID = {
    "name": "a",
    "contents": ["tensors:" + "0" * 64],
    "civitai_id": None,
    "edits": {},
    "images": [IMAGE],
    "files": [],
}


INVALID: dict[str, Any] = {
    "no manifest": None,
    "no object": [],
    "another version": {"version": 2, "models": []},
    "no models": {"version": 1},
    "a model of another shape": {"version": 1, "models": [7]},
    "a key outside the media store": VALID | {"images": [IMAGE | {"media_key": "library/../../evil.png"}]},
    "a key with another prefix": VALID | {"images": [IMAGE | {"media_key": "uploads/x.png"}]},
    "an executable media type": VALID | {"images": [IMAGE | {"media_type": "text/html"}]},
    "an HTML page as an image": VALID | {"images": [IMAGE | {"media_key": "library/page.png"}]},
    "an oversized image": VALID | {"images": [IMAGE | {"media_key": "library/bomb.png"}]},
    "an edit of an unknown field": VALID | {"edits": {"path": {"value": "/etc", "edited_at": 1}}},
    "an edit of a wrong type": VALID | {"edits": {"notes": {"value": [1], "edited_at": 1}}},
    "an invalid time": VALID | {"edits": {"notes": {"value": "x", "edited_at": "now"}}},
    "an invalid width": VALID | {"images": [IMAGE | {"width": 2**70}]},
    "invalid params": VALID | {"images": [IMAGE | {"params": "[1]"}]},
    "an invalid content hash": VALID | {"contents": ["x' OR 1=1"]},
    "a lone surrogate": VALID | {"name": "\ud800"},
}


@pytest.mark.parametrize("name", [*INVALID, "too deep", "no archive", "a bomb as the manifest", "encrypted"])
def test_an_invalid_backup_is_rejected_completely(other: LibraryUnderTest, tmp_path: Path, name: str) -> None:
    """The command prints one line with the reason and stores nothing, not even the valid records."""
    path = tmp_path / "hostile.zip"
    manifest = INVALID.get(name)
    if isinstance(manifest, dict) and "version" not in manifest:
        manifest = {"version": 1, "models": [VALID, manifest]}
    text = {"too deep": "[" * 100_000, "a bomb as the manifest": " " * 30_000_000}.get(name, json.dumps(manifest))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("library/x.png", PNG)
        archive.writestr("library/page.png", b"<script>")
        archive.writestr("library/bomb.png", PNG + b"\0" * (51 * 1024 * 1024 if name == "an oversized image" else 0))
        archive.writestr("../../evil.png", PNG)
        if manifest is not None or name not in INVALID:
            archive.writestr("library.json", text)
    if name == "no archive":
        path.write_bytes(b"PK\x03\x04 and nothing more")
    if name == "encrypted":
        raw = bytearray(path.read_bytes())
        # Set the "encrypted" flag in every local and central file header.
        for signature, flags_offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = -1
            while (start := raw.find(signature, start + 1)) >= 0:
                raw[start + flags_offset] |= 1
        path.write_bytes(raw)
    done = other.run("restore", str(path))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert "is not a library backup" in done.stderr
    assert list(other.library.backups.export()) == []
    assert not [path for path in (other.data / "media").rglob("*") if path.is_file()]
    assert not list(tmp_path.parent.rglob("evil.png"))
