"""The sidecar formats of each program, with what came from Civitai and what a person wrote."""

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


def read_by_priority(source: Source, document: Any) -> dict[SourcePriority, Metadata]:
    """Read a sidecar and return its metadata by priority."""
    sources = read_sidecar(source, json.dumps(document).encode(), 7)
    assert all((claim.source, claim.time_ms) == (source, 7) for claim in sources)
    return {claim.priority: claim.metadata for claim in sources}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"error": "Model not found"},
        {"skeleton_file": True, "id": "", "name": "ink", "trainedWords": ["ink"]},
        {"name": "ink", "extensions": {"sd_civitai_helper": {"version": "1", "skeleton_file": True}}},
    ],
)
def test_skeletons_of_the_civitai_helper_are_empty(document: dict[str, Any]) -> None:
    """They record that Civitai does not know the model."""
    assert read_by_priority(Source.CIVITAI_INFO, document) == {}


@pytest.mark.parametrize("source", sorted(SUPPORTED_FIELDS))
def test_an_empty_object_yields_nothing(source: Source) -> None:
    """This holds for every format."""
    assert read_by_priority(source, {}) == {}


def test_civitai_info_has_a_version_and_its_model() -> None:
    """Some writers put creator and tags beside the model."""
    facts = read_by_priority(Source.CIVITAI_INFO, ANSWER)[SourcePriority.CIVITAI]
    assert (facts.name, facts.version_name, facts.civitai_id, facts.civitai_version_id) == ("Figma", "v1", 7984, 9413)
    assert (facts.description, facts.version_description) == ("<p>model</p>", "<p>version</p>")
    assert (facts.creator, facts.nsfw_level, facts.tags, facts.versions) == ("bob", 3, ("anime",), ())
    beside = read_by_priority(Source.CIVITAI_INFO, {"tags": ["a"], "model": {"name": "Figma"}})
    assert beside[SourcePriority.CIVITAI].tags == ("a",)


def test_lora_manager_separates_a_persons_metadata_from_civitais() -> None:
    """Notes, tips, trained words, and what differs from Civitai's response in the file are a person's."""
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
    metadata = read_by_priority(Source.LORA_MANAGER, document)
    assert metadata[SourcePriority.PERSON] == Metadata(
        name="My figures",
        tags=("anime", "mine"),
        base_model="Illustrious",
        description="<p>newer</p>",
        trained_words=("figma",),
        notes="good at 0.7\nbad at 1",
        preferred_weight=0.7,
    )
    civitai = metadata[SourcePriority.CIVITAI]
    assert (civitai.name, civitai.tags, civitai.base_model) == ("Figma", ("anime",), "Pony")
    assert (civitai.description, civitai.trained_words) == ("<p>model</p>", ())
    assert civitai.hashes == {"SHA256": SHA, "AutoV3": "dc746a5a4da9"}


@pytest.mark.parametrize("name", ["figma", "Figma", ""])
def test_lora_manager_defaults_are_ignored(name: str) -> None:
    """These are the file's name, Civitai's name and tags, empty notes and tips."""
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
    metadata = read_by_priority(Source.LORA_MANAGER, document)
    assert metadata[SourcePriority.PERSON] == Metadata(trained_words=("figma",))
    assert (metadata[SourcePriority.CIVITAI].name, metadata[SourcePriority.CIVITAI].base_model) == ("Figma", "Pony")


@pytest.mark.parametrize("newer", [Source.CIVITAI_INFO, Source.LORA_MANAGER])
def test_corrections_in_lora_manager_win_over_an_answer_of_any_time(newer: Source) -> None:
    """Another program that fetches the answer again does not undo them."""
    answer = {"id": 6, "modelId": 5, "baseModel": "SDXL 1.0", "trainedWords": ["ink"], "description": "theirs"}
    own = {"file_name": "ink", "base_model": "Illustrious", "modelDescription": "my words"}
    own["civitai"] = answer | {"trainedWords": ["ink", "my trigger"]}
    answer = answer | {"model": {"name": "Ink", "description": "theirs"}}
    documents = {Source.CIVITAI_INFO: answer, Source.LORA_MANAGER: own}
    sources = [
        record
        for source, document in documents.items()
        for record in read_sidecar(source, json.dumps(document).encode(), 2 if source == newer else 1)
    ]
    merged = merge_metadata(sources).metadata
    assert (merged.base_model, merged.description) == ("Illustrious", "my words")
    assert merged.trained_words == ("ink", "my trigger")


def test_trained_words_without_a_civitai_id_are_a_persons() -> None:
    """Someone typed them into LoRA Manager."""
    assert read_by_priority(Source.LORA_MANAGER, {"civitai": {"trainedWords": ["ink"]}}) == {
        SourcePriority.PERSON: Metadata(trained_words=("ink",))
    }


@pytest.mark.parametrize("tips", ["{", "[]", "7", "", None, 5, '{"strength": "x"}', "[" * 5000, '{"strength": NaN}'])
def test_invalid_usage_tips_are_ignored(tips: Any) -> None:
    """The notes beside them are read."""
    assert read_by_priority(Source.LORA_MANAGER, {"notes": "n", "usage_tips": tips}) == {
        SourcePriority.PERSON: Metadata(notes="n")
    }


def test_stability_matrix_is_read() -> None:
    """A title is a person's."""
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
    metadata = read_by_priority(Source.STABILITY_MATRIX, document)
    assert metadata[SourcePriority.PERSON] == Metadata(name="Mine")
    assert metadata[SourcePriority.CIVITAI] == Metadata(
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
    """Except for the family of base models, which must not hide Civitai's more exact name."""
    document = {
        "description": "d",
        "sd version": "SDXL",
        "activation text": "ink, (wash, grey:1.2),ink , [a,b]",
        "preferred weight": 0.8,
        "negative text": "photo",
        "notes": "n",
    }
    assert read_by_priority(Source.A1111, document) == {
        SourcePriority.HEADER: Metadata(base_model="SDXL 1.0"),
        SourcePriority.PERSON: Metadata(
            description="d",
            trained_words=("ink", "(wash, grey:1.2)", "[a,b]"),
            negative_words="photo",
            preferred_weight=0.8,
            notes="n",
        ),
    }
    civitai = read_sidecar(Source.CIVITAI_INFO, json.dumps(ANSWER).encode(), 1)
    merged = merge_metadata([*civitai, *read_sidecar(Source.A1111, json.dumps(document).encode(), 9)])
    assert (merged.metadata.base_model, merged.metadata.trained_words[0]) == ("Pony", "ink")


def test_a1111_keeps_words_that_have_commas() -> None:
    """AUTOMATIC1111 has one text for all words; a text that was changed there since is split at its commas."""
    words = ("NIGHTHERON, BLUEFLIGHTSUIT, SILVER HEADSET, <lora:x:1>", "girl")
    raw = write_sidecar(Source.A1111, Metadata(trained_words=words))
    document = json.loads(raw)
    assert document["activation text"] == ", ".join(words)
    assert read_by_priority(Source.A1111, document) == {SourcePriority.PERSON: Metadata(trained_words=words)}
    changed = read_by_priority(Source.A1111, document | {"activation text": "heron, girl"})
    assert changed == {SourcePriority.PERSON: Metadata(trained_words=("heron", "girl"))}
    plain = json.loads(write_sidecar(Source.A1111, Metadata(trained_words=("heron", "girl"))))
    assert "trainedWords" not in plain


def test_a1111_defaults_are_ignored() -> None:
    """Saving an empty form writes them."""
    document = {
        "description": "",
        "sd version": "Unknown",
        "activation text": " , ",
        "preferred weight": 0,
        "notes": "",
    }
    assert read_by_priority(Source.A1111, document) == {}


def test_ids_and_hash_in_a1111_files_are_civitais() -> None:
    """Other programs add them."""
    document = {"modelId": 7984, "modelVersionId": "9413", "sha256": SHA.upper()}
    assert read_by_priority(Source.A1111, document) == {
        SourcePriority.CIVITAI: Metadata(civitai_id=7984, civitai_version_id=9413, hashes={"SHA256": SHA})
    }


@pytest.mark.parametrize(
    ("base_model", "family"),
    [
        ("SD 1.4", "SD1"),
        ("SD 2.1 768", "SD2"),
        ("SDXL Lightning", "SDXL"),
        ("Pony", "SDXL"),
        ("Illustrious", "SDXL"),
        ("Pony V7", "Unknown"),
        ("Flux.1 D", "Flux"),
        ("Flux.1 Kontext", "Flux"),
        ("Flux.2 D", "Unknown"),
        ("SD 3.5", "Unknown"),
        ("SDXL 2.0", "Unknown"),
        ("sdxl_base_v1-0", "SDXL"),
        (None, "Unknown"),
    ],
)
def test_a1111_files_have_the_family_of_the_base_model(base_model: str | None, family: str) -> None:
    """Families have the names of AUTOMATIC1111 and Forge; a base model that only begins like one is of none."""
    assert json.loads(write_sidecar(Source.A1111, Metadata(base_model=base_model)))["sd version"] == family


def test_lora_manager_files_describe_the_model_file() -> None:
    """LoRA Manager rejects documents without name, size, time and hash."""
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


def test_sources_without_sidecars_are_an_error() -> None:
    """An example is the file header."""
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
def test_unreadable_files_have_a_code(source: Source, raw: bytes, code: str) -> None:
    """They also have a short message."""
    with pytest.raises(FormatError) as error:
        read_sidecar(source, raw, 0)
    assert error.value.code == code
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("notes", ["très bien, déjà vu: “été” €", "schön", "plain"])
def test_western_windows_encodings_are_read(encoding: str, notes: str) -> None:
    """Programs write the system's encoding."""
    raw = json.dumps({"notes": notes}, ensure_ascii=False).encode(encoding)
    assert read_sidecar(Source.A1111, raw, 0)[0].metadata.notes == notes


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "gb2312"])
def test_chinese_windows_encodings_are_read(encoding: str) -> None:
    """Programs write the system's encoding."""
    notes = "水墨画风格 推荐权重 0.8"
    raw = json.dumps({"notes": notes}, ensure_ascii=False).encode(encoding)
    assert read_sidecar(Source.A1111, raw, 0)[0].metadata.notes == notes


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1e300", "9" * 5000, "[]", "{}", "true"])
def test_invalid_numbers_are_ignored(value: str) -> None:
    """The fields beside them are read."""
    raw = f'{{"preferred weight": {value}, "modelId": {value}, "notes": "n"}}'.encode()
    assert read_sidecar(Source.A1111, raw, 0) == [
        SourceMetadata(Source.A1111, SourcePriority.PERSON, Metadata(notes="n"), 0)
    ]


@pytest.mark.parametrize(("number", "expected"), [(2**63 - 1, 2**63 - 1), (2**63, None), (2**64, None), (-5, None)])
def test_ids_beyond_64_bits_are_ignored(number: int, expected: int | None) -> None:
    """The largest signed 64-bit integer is valid."""
    metadata = read_by_priority(Source.A1111, {"modelId": number, "notes": "n"})
    assert metadata.get(SourcePriority.CIVITAI, Metadata()).civitai_id == expected
