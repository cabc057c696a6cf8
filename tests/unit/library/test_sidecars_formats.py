"""Each program's own file: what a catalogue said in it, and what a person wrote."""

import json
from typing import Any

import pytest

from schemas.format_error import FormatError
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority, merge_metadata
from schemas.library.sidecars import SUPPORTED_FIELDS, LocalFile, read_sidecar, write_sidecar

SHA = "6f6d687fe041fcdc0fe55b9cd90ae7634dc50ebc9da849dc869b232a8df60f9d"
ANSWER = {
    "id": 9413,
    "modelId": 7984,
    "name": "v1",
    "baseModel": "Pony",
    "trainedWords": ["figma"],
    "description": "<p>version</p>",
    "model": {"name": "Figma", "type": "LORA", "nsfw": False, "tags": ["anime"], "description": "<p>model</p>"},
    "creator": {"username": "bob"},
    "nsfwLevel": 3,
}


def claims(source: Source, document: Any) -> dict[SourcePriority, Metadata]:
    """What is said, by who says it."""
    found = read_sidecar(source, json.dumps(document).encode(), 7)
    assert all((claim.source, claim.time_ms) == (source, 7) for claim in found)
    return {claim.priority: claim.metadata for claim in found}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"error": "Model not found"},
        {"skeleton_file": True, "id": "", "name": "ink", "trainedWords": ["ink"]},
        {"name": "ink", "extensions": {"sd_civitai_helper": {"version": "1", "skeleton_file": True}}},
    ],
)
def test_what_the_helper_did_not_find_says_nothing(document: dict[str, Any]) -> None:
    """Its mark is no metadata."""
    assert claims(Source.CIVITAI_INFO, document) == {}


@pytest.mark.parametrize("source", sorted(SUPPORTED_FIELDS))
def test_an_empty_object_says_nothing(source: Source) -> None:
    """In any format."""
    assert claims(source, {}) == {}


def test_the_helpers_file_has_a_version_and_its_model() -> None:
    """And, from some, a creator and tags beside the model."""
    facts = claims(Source.CIVITAI_INFO, ANSWER)[SourcePriority.CIVITAI]
    assert (facts.name, facts.version_name, facts.civitai_id, facts.civitai_version_id) == ("Figma", "v1", 7984, 9413)
    assert (facts.description, facts.version_description) == ("<p>model</p>", "<p>version</p>")
    assert (facts.creator, facts.nsfw_level, facts.tags, facts.versions) == ("bob", 3, ("anime",), ())
    beside = claims(Source.CIVITAI_INFO, {"tags": ["a"], "model": {"name": "Figma"}})
    assert beside[SourcePriority.CIVITAI].tags == ("a",)


def test_lora_manager_keeps_a_person_apart_from_the_catalogue() -> None:
    """Notes, tips, own tags and an own name are a person's."""
    document = {
        "file_name": "figma",
        "model_name": "My figures",
        "base_model": "Illustrious",
        "modelDescription": "<p>newer</p>",
        "sha256": SHA.upper(),
        "autov3": "DC746A5A4DA9",
        "notes": "good at 0.7\nbad at 1",
        "tags": ["anime", "mine"],
        "usage_tips": '{"strength": 0.7, "clip_skip": 2}',
        "favorite": True,
        "civitai": ANSWER,
    }
    said = claims(Source.LORA_MANAGER, document)
    assert said[SourcePriority.PERSON] == Metadata(
        name="My figures", tags=("anime", "mine"), notes="good at 0.7\nbad at 1", preferred_weight=0.7
    )
    catalogue = said[SourcePriority.CIVITAI]
    assert (catalogue.name, catalogue.tags, catalogue.base_model) == ("Figma", ("anime",), "Illustrious")
    assert (catalogue.description, catalogue.trained_words) == ("<p>newer</p>", ("figma",))
    assert catalogue.hashes == {"SHA256": SHA, "AutoV3": "dc746a5a4da9"}


@pytest.mark.parametrize("name", ["figma", "Figma", ""])
def test_lora_managers_defaults_are_nobodys(name: str) -> None:
    """A name that is the file's or the catalogue's, the catalogue's tags, empty notes and tips."""
    document = {
        "file_name": "figma",
        "model_name": name,
        "base_model": "Unknown",
        "tags": ["Anime"],
        "notes": "",
        "usage_tips": "{}",
        "autov3": None,
        "civitai": ANSWER,
    }
    said = claims(Source.LORA_MANAGER, document)
    assert list(said) == [SourcePriority.CIVITAI]
    assert (said[SourcePriority.CIVITAI].name, said[SourcePriority.CIVITAI].base_model) == ("Figma", "Pony")


def test_trained_words_without_a_catalogue_are_a_persons() -> None:
    """Somebody typed them into LoRA Manager."""
    assert claims(Source.LORA_MANAGER, {"civitai": {"trainedWords": ["ink"]}}) == {
        SourcePriority.PERSON: Metadata(trained_words=("ink",))
    }


@pytest.mark.parametrize("tips", ["{", "[]", "7", "", None, 5, '{"strength": "x"}', "[" * 5000, '{"strength": NaN}'])
def test_tips_that_are_none_cost_nothing(tips: Any) -> None:
    """The notes beside them are read."""
    assert claims(Source.LORA_MANAGER, {"notes": "n", "usage_tips": tips}) == {
        SourcePriority.PERSON: Metadata(notes="n")
    }


def test_stability_matrix_is_read() -> None:
    """Whose title a person may have given."""
    document = {
        "ModelId": 7984,
        "ModelName": "Figma",
        "ModelDescription": "<p>d</p>",
        "Nsfw": True,
        "Tags": ["anime"],
        "ModelType": "LORA",
        "VersionId": 9413,
        "VersionName": "v1",
        "VersionDescription": None,
        "AuthorUsername": "bob",
        "BaseModel": "SD 1.5",
        "FileMetadata": {"fp": "fp16", "size": "full", "format": "SafeTensor"},
        "Hashes": {"SHA256": SHA.upper(), "CRC32": "4DF210A6", "BLAKE3": None},
        "TrainedWords": ["figma"],
        "Stats": {"FavoriteCount": 3, "downloadCount": 5},
        "UserTitle": "Mine",
        "Source": "Civitai",
    }
    said = claims(Source.STABILITY_MATRIX, document)
    assert said[SourcePriority.PERSON] == Metadata(name="Mine")
    assert said[SourcePriority.CIVITAI] == Metadata(
        name="Figma",
        type="LORA",
        description="<p>d</p>",
        tags=("anime",),
        creator="bob",
        nsfw_level=8,
        stats={"favoriteCount": 3, "downloadCount": 5},
        civitai_id=7984,
        version_name="v1",
        base_model="SD 1.5",
        trained_words=("figma",),
        civitai_version_id=9413,
        hashes={"SHA256": SHA, "CRC32": "4df210a6"},
    )


def test_a1111_is_what_a_person_wrote() -> None:
    """All but the family of base models, which is too coarse to hide what a catalogue says."""
    document = {
        "description": "d",
        "sd version": "SDXL",
        "activation text": "ink, (wash, grey:1.2),ink , [a,b]",
        "preferred weight": 0.8,
        "negative text": "photo",
        "notes": "n",
    }
    assert claims(Source.A1111, document) == {
        SourcePriority.HEADER: Metadata(base_model="SDXL 1.0"),
        SourcePriority.PERSON: Metadata(
            description="d",
            trained_words=("ink", "(wash, grey:1.2)", "[a,b]"),
            negative_words="photo",
            preferred_weight=0.8,
            notes="n",
        ),
    }
    catalogue = read_sidecar(Source.CIVITAI_INFO, json.dumps(ANSWER).encode(), 1)
    merged = merge_metadata([*catalogue, *read_sidecar(Source.A1111, json.dumps(document).encode(), 9)])
    assert (merged.metadata.base_model, merged.metadata.trained_words[0]) == ("Pony", "ink")


def test_a1111s_defaults_are_nobodys() -> None:
    """What it writes when a person saves an empty form."""
    document = {
        "description": "",
        "sd version": "Unknown",
        "activation text": " , ",
        "preferred weight": 0,
        "notes": "",
    }
    assert claims(Source.A1111, document) == {}


def test_what_others_put_into_a1111s_file_is_the_catalogues() -> None:
    """Ids and the hash."""
    document = {"modelId": 7984, "modelVersionId": "9413", "sha256": SHA.upper()}
    assert claims(Source.A1111, document) == {
        SourcePriority.CIVITAI: Metadata(civitai_id=7984, civitai_version_id=9413, hashes={"SHA256": SHA})
    }


@pytest.mark.parametrize(
    ("base_model", "family"),
    [
        ("SD 1.4", "SD1"),
        ("SD 2.1 768", "SD2"),
        ("SDXL Lightning", "SDXL"),
        ("Pony", "SDXL"),
        ("Flux.1 D", "Unknown"),
        (None, "Unknown"),
    ],
)
def test_a1111_is_told_the_family(base_model: str | None, family: str) -> None:
    """In its own words."""
    assert json.loads(write_sidecar(Source.A1111, Metadata(base_model=base_model)))["sd version"] == family


def test_lora_manager_is_told_of_the_file() -> None:
    """It takes no document without its name, size, time and hash."""
    local = LocalFile("figma.safetensors", 1024, {"SHA256": SHA}, time_ms=5500)
    document = json.loads(write_sidecar(Source.LORA_MANAGER, Metadata(notes="n"), local))
    assert {
        name: document[name] for name in ("file_name", "model_name", "file_path", "size", "modified", "sha256")
    } == {
        "file_name": "figma",
        "model_name": "figma",
        "file_path": "figma.safetensors",
        "size": 1024,
        "modified": 5.5,
        "sha256": SHA,
    }
    assert read_sidecar(Source.LORA_MANAGER, write_sidecar(Source.LORA_MANAGER, Metadata(notes="n")), 3) == [
        SourceMetadata(Source.LORA_MANAGER, SourcePriority.PERSON, Metadata(notes="n"), 3)
    ]


def test_a_source_without_files_is_no_format() -> None:
    """A header has no sidecar."""
    with pytest.raises(KeyError):
        write_sidecar(Source.HEADER, Metadata())
    with pytest.raises(KeyError):
        read_sidecar(Source.USER, b"{}", 0)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"<html>", "not_json"),
        (b"[]", "wrong_shape"),
        (b"null", "wrong_shape"),
        (b"NaN", "wrong_shape"),
        (b'"x"', "wrong_shape"),
        (b'{"a":' * 5000, "too_deep"),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "too_deep"),
        (b"[" * 100_000, "too_deep"),
        (b'{"notes": "' + b"a" * 8 * 1024 * 1024 + b'"}', "too_large"),
        (b"\xff\xfe\x00", "not_text"),
        (b'{"a": "\x81\x20"}', "not_text"),
    ],
)
@pytest.mark.parametrize("source", sorted(SUPPORTED_FIELDS))
def test_what_cannot_be_read_is_told(source: Source, raw: bytes, code: str) -> None:
    """With a code and a short sentence."""
    with pytest.raises(FormatError) as error:
        read_sidecar(source, raw, 0)
    assert error.value.code == code
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("notes", ["très bien, déjà vu: “été” €", "schön", "plain"])
def test_western_files_are_read_in_the_encodings_of_windows(encoding: str, notes: str) -> None:
    """A helper writes what the system is set to."""
    raw = json.dumps({"notes": notes}, ensure_ascii=False).encode(encoding)
    assert read_sidecar(Source.A1111, raw, 0)[0].metadata.notes == notes


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "gb2312"])
def test_chinese_files_are_read_in_the_encodings_of_windows(encoding: str) -> None:
    """The same, elsewhere."""
    notes = "水墨画风格 推荐权重 0.8"
    raw = json.dumps({"notes": notes}, ensure_ascii=False).encode(encoding)
    assert read_sidecar(Source.A1111, raw, 0)[0].metadata.notes == notes


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1e300", "9" * 5000, "[]", "{}", "true"])
def test_numbers_that_are_none_cost_nothing(value: str) -> None:
    """The fields beside them are read."""
    raw = f'{{"preferred weight": {value}, "modelId": {value}, "notes": "n"}}'.encode()
    assert read_sidecar(Source.A1111, raw, 0) == [
        SourceMetadata(Source.A1111, SourcePriority.PERSON, Metadata(notes="n"), 0)
    ]


@pytest.mark.parametrize(("number", "kept"), [(2**63 - 1, 2**63 - 1), (2**63, None), (2**64, None), (-5, None)])
def test_ids_beyond_what_a_database_takes_are_none(number: int, kept: int | None) -> None:
    """The largest that it takes is one."""
    said = claims(Source.A1111, {"modelId": number, "notes": "n"})
    assert said.get(SourcePriority.CIVITAI, Metadata()).civitai_id == kept
