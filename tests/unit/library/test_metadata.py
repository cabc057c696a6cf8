"""Priority of metadata sources: persons over Civitai over headers over file names, for each field."""

from schemas.library.metadata import (
    CivitaiFile,
    CivitaiVersion,
    ImageMetadata,
    Metadata,
    Source,
    SourceMetadata,
    SourcePriority,
    merge_metadata,
)

WHOLE = Metadata(
    name="Ink",
    tags=("ink", "style"),
    nsfw_level=3,
    stats={"downloadCount": 5},
    civitai_id=7,
    trained_words=("inkwash",),
    hashes={"AutoV2": "0123456789"},
    images=(ImageMetadata("1.jpeg", 10, 20, 1, "LEHV6nWB2yk8", "a cat", {"seed": 2**64 - 1}),),
    versions=(CivitaiVersion(8, "v1", "SDXL 1.0", trained_words=("a",), files=(CivitaiFile("a.safetensors", 1.5),)),),
)


def test_metadata_survives_json() -> None:
    """Empty metadata gives an empty object."""
    assert Metadata.from_json(WHOLE.to_json()) == WHOLE
    assert Metadata.from_json({}) == Metadata()
    assert Metadata().is_empty
    assert not WHOLE.is_empty


def test_each_field_is_merged_separately() -> None:
    """The result names the source of each field."""
    name = SourceMetadata(Source.FILE_NAME, SourcePriority.GUESS, Metadata(name="ink_v1", base_model="SD 1.5"))
    header = SourceMetadata(Source.HEADER, SourcePriority.HEADER, Metadata(name="Ink LoRA", trained_words=("ink",)))
    user = SourceMetadata(Source.USER, SourcePriority.USER, Metadata(notes="good"))
    merged = merge_metadata([user, name, header])
    assert (merged.metadata.name, merged.metadata.base_model, merged.metadata.notes) == ("Ink LoRA", "SD 1.5", "good")
    assert merged.sources == {
        "name": Source.HEADER,
        "trained_words": Source.HEADER,
        "base_model": Source.FILE_NAME,
        "notes": Source.USER,
    }


def test_newer_metadata_wins_at_equal_priority() -> None:
    """The order of the sources does not matter."""
    old = SourceMetadata(Source.CIVITDL, SourcePriority.CIVITAI, Metadata(name="old", creator="bob"), 1)
    new = SourceMetadata(Source.CIVITAI_INFO, SourcePriority.CIVITAI, Metadata(name="new"), 2)
    assert merge_metadata([old, new]) == merge_metadata([new, old])
    assert (merge_metadata([old, new]).metadata.name, merge_metadata([old, new]).metadata.creator) == ("new", "bob")


def test_empty_values_override_nothing() -> None:
    """The priority of their source does not matter."""
    something = SourceMetadata(Source.HEADER, SourcePriority.HEADER, WHOLE)
    nothing = SourceMetadata(Source.LORA_MANAGER, SourcePriority.PERSON, Metadata(name="", tags=(), stats={}))
    assert merge_metadata([something, nothing]).metadata == WHOLE
