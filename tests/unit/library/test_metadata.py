"""Who is believed: people before catalogues, catalogues before headers, headers before file names; field by field."""

from schemas.library.metadata import Claim, Facts, Rank, SaidFile, SaidImage, SaidVersion, Source, merge

WHOLE = Facts(
    name="Ink",
    tags=("ink", "style"),
    nsfw_level=3,
    stats={"downloadCount": 5},
    civitai_id=7,
    trained_words=("inkwash",),
    hashes={"AutoV2": "0123456789"},
    images=(SaidImage("1.jpeg", 10, 20, 1, "LEHV6nWB2yk8", "a cat", {"seed": 2**64 - 1}),),
    versions=(SaidVersion(8, "v1", "SDXL 1.0", trained_words=("a",), files=(SaidFile("a.safetensors", 1.5),)),),
)


def test_facts_survive_being_kept() -> None:
    """Written as JSON, and read back the same."""
    assert Facts.from_json(WHOLE.to_json()) == WHOLE
    assert Facts.from_json({}) == Facts()
    assert Facts().empty
    assert not WHOLE.empty


def test_each_field_is_believed_by_itself() -> None:
    """And remembers who said it."""
    name = Claim(Source.FILE_NAME, Rank.GUESS, Facts(name="ink_v1", base_model="SD 1.5"))
    header = Claim(Source.HEADER, Rank.HEADER, Facts(name="Ink LoRA", trained_words=("ink",)))
    user = Claim(Source.USER, Rank.USER, Facts(notes="good"))
    merged = merge([user, name, header])
    assert (merged.facts.name, merged.facts.base_model, merged.facts.notes) == ("Ink LoRA", "SD 1.5", "good")
    assert merged.sources == {
        "name": Source.HEADER,
        "trained_words": Source.HEADER,
        "base_model": Source.FILE_NAME,
        "notes": Source.USER,
    }


def test_of_two_catalogues_the_newer_is_believed() -> None:
    """In whatever order they come."""
    old = Claim(Source.CIVITDL, Rank.CATALOGUE, Facts(name="old", creator="bob"), 1)
    new = Claim(Source.CIVITAI_INFO, Rank.CATALOGUE, Facts(name="new"), 2)
    assert merge([old, new]) == merge([new, old])
    assert (merge([old, new]).facts.name, merge([old, new]).facts.creator) == ("new", "bob")


def test_nothing_never_wins_over_something() -> None:
    """An empty source erases nothing."""
    something = Claim(Source.HEADER, Rank.HEADER, WHOLE)
    nothing = Claim(Source.LORA_MANAGER, Rank.PERSON, Facts(name="", tags=(), stats={}))
    assert merge([something, nothing]).facts == WHOLE
