"""Which files are versions of one model, in SQLite and PostgreSQL."""

import json
import os

from tests.support.indexed_folder import IndexedFolder
from tests.support.model_files import civitai_model, write_safetensors


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
