"""The metadata document of a token: valid by ERC-1155's schema and ERC-8495, without a trace of private prompts."""

import json
from typing import Any

import pytest

from schemas.gallery.documents.token_metadata import MetadataUrls, build_metadata
from schemas.gallery.tokens import CollectionRef, MediaStatus, Token, TokenMedia

PROMPT = "A Lighthouse at dusk,  oil painting"
RECORD = {
    "prompt": PROMPT,
    "inputs": {"negativePrompt": "blurry hands and text", "seed": 7},
    "seed": 7,
    "finishedAt": 1_700_000_000_123,
    "site": {"name": "studio", "title": "Studio"},
    "models": [{"kind": "lora", "name": "Ukiyo-e", "hashes": {}}],
    "generation": None,
}
URLS = MetadataUrls("https://me.test/c/sea/0x1", "https://me.test/images/asset/a.png")


def token(*attributes: dict[str, Any], **fields: Any) -> Token:
    """A token with a picture that a job made."""
    values = {
        "id": 1,
        "token_id": "0x" + "ab" * 20 + f"{5:024x}",
        "collection": CollectionRef(1, "sea", "Sea", "0x" + "1" * 40, explicit=False),
        "owner": "ada",
        "creator": "0x" + "AB" * 20,
        "name": "Dusk",
        "description": "The coast.",
        "amount": "0x1",
        "position": 1,
        "status": "ACTIVE",
        "moderation_score": 0,
        "model": None,
        "workload_id": None,
        "media": TokenMedia(MediaStatus.READY, sha256="a" * 64, type="image/png"),
        "listing": None,
        "refresh_requested_at": None,
        "is_prompt_private": False,
        "created_at": 1,
        "modified_at": 1,
        "provenance": RECORD,
    }
    return Token(**{**values, "attributes": attributes, **fields})


def test_the_document_has_the_types_of_both_standards() -> None:
    """ERC-1155: texts, a whole number of decimals and an object of properties. ERC-8495: URLs and attributes."""
    document = build_metadata(token({"trait_type": "Mood", "value": "calm"}), URLS)

    types = {"name": str, "description": str, "image": str, "decimals": int, "properties": dict, "external_url": str}
    assert {name: type(document[name]) for name in types} == types
    assert document["attributes"][0] == {"trait_type": "Mood", "value": "calm"}
    assert {"trait_type": "Made", "display_type": "date", "value": 1_700_000_000} in document["attributes"]
    assert {"trait_type": "LoRA", "value": "Ukiyo-e"} in document["attributes"]
    assert document["properties"]["prompt"] == PROMPT
    assert "animation_url" not in document
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert build_metadata(token(provenance=None, name=""), URLS)["name"] == "#5"


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ({"trait_type": "a", "value": True}, {"trait_type": "a", "value": "true"}),
        ({"trait_type": "a", "value": 2**60}, {"trait_type": "a", "value": str(2**60)}),
        ({"value": "property"}, {"value": "property"}),
        ({"trait_type": "a", "value": 5, "display_type": "boost_number"},) * 2,
        ({"trait_type": "a", "value": 5, "display_type": "string"}, {"trait_type": "a", "value": 5}),
        ({"trait_type": "a", "value": "5", "display_type": "number"}, {"trait_type": "a", "value": "5"}),
        (
            {"trait_type": "a", "value": 1_700_000_000_500, "display_type": "date"},
            {"trait_type": "a", "value": 1_700_000_000, "display_type": "date"},
        ),
        ({"trait_type": "a", "value": float("inf")}, None),
        ({"trait_type": "a", "value": ["list"]}, None),
        ({"trait_type": "a"}, None),
    ],
)
def test_attributes_have_values_that_every_reader_accepts(
    attribute: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    """Booleans and huge numbers become texts, milliseconds seconds; what has no form is left out."""
    attributes = build_metadata(token(attribute, provenance=None), URLS)["attributes"]

    assert attributes == ([expected] if expected else [])


@pytest.mark.parametrize("place", ["name", "description", "value", "trait_type"])
@pytest.mark.parametrize(
    "text",
    [
        *(PROMPT, f"made with: {PROMPT.upper()}!", "lighthouse  at DUSK, oil", "no BLURRY hands and text, please"),
        *("A Lighthouse at dusk, oil…", "A Lighthouse at dusk, ..."),
    ],
)
def test_a_private_prompt_leaks_nowhere(place: str, text: str) -> None:
    """Whatever field its owner has put the prompt into, wholly or in part, the document has no trace of it."""
    attribute = {"trait_type": "Style", "value": "ink"} | ({place: text} if place in ("value", "trait_type") else {})
    fields = {place: text} if place in ("name", "description") else {}
    private = token(attribute, {"trait_type": "Mood", "value": "dusk"}, is_prompt_private=True, **fields)

    document = build_metadata(private, URLS)

    for secret in ("lighthouse", "blurry", PROMPT, '"7"'):
        assert secret.casefold() not in json.dumps(document).casefold()
    assert {"trait_type": "Mood", "value": "dusk"} in document["attributes"], "a word of it is not the prompt"


def test_an_attribute_that_is_called_prompt_goes_with_a_private_one() -> None:
    """Even if its text differs from the job's prompt."""
    private = token({"trait_type": "Prompt", "value": "x"}, is_prompt_private=True)

    assert "Prompt" not in [each.get("trait_type") for each in build_metadata(private, URLS)["attributes"]]
