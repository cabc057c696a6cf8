"""Request schemas of the gallery."""

from typing import Any

import pytest
from marshmallow import Schema, ValidationError

from schemas.gallery.encodings import MAX_UINT256
from schemas.gallery.requests.bodies import (
    CollectionChange,
    ListingBody,
    NewCollectionBody,
    NewTokenBody,
    ProfileChange,
    SeedListQuery,
    SeedToken,
    TokenOrder,
)
from schemas.gallery.tokens import ONE

TOKEN_ID = "0x" + "ab" * 32
SEED = {"name": "2", "amount": f"0x{2:064x}", "attributes": [{"trait_type": "2", "value": "2"}], "description": "2"}


def test_a_token_of_existing_clients_is_accepted() -> None:
    """Further keys are ignored, also in attributes; amount and attributes may be missing."""
    loaded: dict[str, Any] = SeedToken().load(
        SEED | {"tokenId": TOKEN_ID.upper().replace("0X", "0x"), "image": "x", "attributes": [{"value": 7, "key": "k"}]}
    )
    assert (loaded["tokenId"], loaded["attributes"], "image" in loaded) == (TOKEN_ID, [{"value": 7}], False)
    bare: dict[str, Any] = SeedToken().load({"name": " 2 ", "attributes": None, "description": None})
    assert (bare["name"], bare["amount"], bare["attributes"]) == ("2", ONE, [])


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("0x2", f"0x{2:064x}"),
        ("0x" + "0" * 63 + "A", f"0x{10:064x}"),
        ("0x" + "F" * 64, "0x" + "F" * 64),
        ("0x" + "f" * 64, "0x" + "f" * 64),
    ],
)
def test_amounts_are_stored_with_64_digits(sent: str, stored: str) -> None:
    """The largest one, an open edition, stays as it was written."""
    loaded: dict[str, Any] = SeedToken().load(SEED | {"amount": sent})

    assert loaded["amount"] == stored


@pytest.mark.parametrize("amount", ["0x0", "2", 2, "-0x1", "0x" + "1" * 65, "", None, [], True])
def test_other_amounts_are_refused(amount: Any) -> None:
    """Existing clients never mean decimal digits."""
    with pytest.raises(ValidationError) as error:
        SeedToken().load(SEED | {"amount": amount})
    assert list(error.value.messages_dict) == ["amount"]


@pytest.mark.parametrize(
    "attributes",
    [
        "x",
        ["x"],
        [{}],
        [{"trait_type": 1, "value": "a"}],
        [{"trait_type": "a", "value": None}],
        [{"trait_type": "a", "value": {}}],
        [{"trait_type": "a", "value": float("inf")}],
        [{"trait_type": "a", "value": "x" * 2001}],
        [{"trait_type": "a", "value": "\ud800"}],
        [{"trait_type": "a", "value": 10**30}],
        [{"trait_type": "a", "value": "12", "display_type": "date"}],
        [{"trait_type": "a", "value": True, "display_type": "number"}],
        [{"trait_type": "a", "value": 1, "display_type": "pie"}],
        [{"trait_type": "a", "value": 1, "display_type": []}],
        [{"value": 1}] * 101,
    ],
)
@pytest.mark.parametrize("schema", [SeedToken(), NewTokenBody()], ids=["seed", "native"])
def test_malformed_attributes_are_refused(schema: Schema, attributes: Any) -> None:
    """The message is about the attributes."""
    with pytest.raises(ValidationError) as error:
        schema.load({"name": "a", "attributes": attributes})
    assert list(error.value.messages_dict) == ["attributes"]


def test_attributes_keep_their_types() -> None:
    """Numbers, booleans and display types are kept as they are."""
    attributes = [
        {"trait_type": "Level", "value": 3, "display_type": "boost_number"},
        {"trait_type": "Weight", "value": 0.5},
        {"trait_type": "Rare", "value": True},
        {"value": "loose"},
    ]
    loaded: dict[str, Any] = NewTokenBody().load({"attributes": attributes})

    assert loaded["attributes"] == attributes


@pytest.mark.parametrize(
    ("schema", "body", "field"),
    [
        (NewTokenBody(), {"jobId": "a", "imageId": 1}, "imageId"),
        (NewTokenBody(), {"imageId": 0}, "imageId"),
        (NewTokenBody(), {"number": 1.5}, "number"),
        (NewTokenBody(), {"nmae": "a"}, "nmae"),
        (NewTokenBody(), {"attributes": [{"value": 1, "key": 2}]}, "attributes"),
        (SeedToken(), {}, "name"),
        (SeedToken(), {"name": " "}, "name"),
        (SeedToken(), {"name": "a\nb"}, "name"),
        (SeedToken(), {"name": "x" * 201}, "name"),
        (SeedToken(), {"name": "a", "tokenId": "0x1"}, "tokenId"),
        (NewCollectionBody(), {"name": "a", "royaltyFee": 10_001}, "royaltyFee"),
        (NewCollectionBody(), {"name": "a", "owner": "x"}, "owner"),
        (CollectionChange(), {"status": "GONE"}, "status"),
        (CollectionChange(), {"picture": "0x1"}, "picture"),
        (ProfileChange(), {"link": "javascript:alert(1)"}, "link"),
        (ProfileChange(), {"twitter": "//evil.test"}, "twitter"),
        (ProfileChange(), {"username": "a/b"}, "username"),
        (ProfileChange(), {"username": "0x" + "a" * 40}, "username"),
        (ProfileChange(), {"bio": None}, "bio"),
        (TokenOrder(), {"tokenIds": []}, "tokenIds"),
        (TokenOrder(), {"tokenIds": ["x"]}, "tokenIds"),
        (ListingBody(), {"price": -1, "startTime": 1, "endTime": 2}, "price"),
        (ListingBody(), {"price": MAX_UINT256 + 1, "startTime": 1, "endTime": 2}, "price"),
        (ListingBody(), {"price": 1, "startTime": 2, "endTime": 2}, "endTime"),
        (SeedListQuery(), {"page": "-1"}, "page"),
        (SeedListQuery(), {"page_size": "0"}, "page_size"),
        (SeedListQuery(), {"page": "1e3"}, "page"),
        (SeedListQuery(), {"explicit": "no"}, "explicit"),
    ],
)
def test_invalid_fields_are_named(schema: Schema, body: dict[str, Any], field: str) -> None:
    """Each mistake is reported under its name on the wire."""
    with pytest.raises(ValidationError) as error:
        schema.load(body)
    assert list(error.value.messages_dict) == [field]


def test_offers_take_numbers_in_every_notation() -> None:
    """They are stored as 256-bit numbers."""
    listing = ListingBody().load({"price": "50000000000000000", "startTime": 0x6464EB00, "endTime": "0x65577f00"})

    assert listing.price == "0x00000000000000000000000000000000000000000000000000b1a2bc2ec50000"
    assert listing.start.endswith("6464eb00")
    assert listing.amount == ONE


def test_pages_are_capped() -> None:
    """A larger page than allowed is the largest one."""
    assert SeedListQuery().load({"page_size": "5000"})["page_size"] == 100


def test_empty_links_are_removed() -> None:
    """Null and an empty text mean the same."""
    assert ProfileChange().load({"link": "", "twitter": None}) == {"link": None, "twitter": None}
