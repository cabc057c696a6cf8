"""The JSON of the generaitiv API: records like those of its public documentation become its examples, exactly.

The golden files are the documented responses. They differ from ours in their host names, and in ``media``.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from api.compat import gallery_serializers
from schemas.gallery.collections import Collection, CollectionStatus
from schemas.gallery.profiles import Profile
from schemas.gallery.tokens import CollectionRef, Listing, MediaStatus, Token, TokenMedia

GOLDEN = Path(__file__).parent / "golden"
PUBLIC_URL = "https://darkroom.test"
HOSTS = ("https://metadata.generaitiv.xyz", "https://img.generaitiv.xyz")


def golden(name: str) -> Any:
    """Return a documented response, with our host in it."""
    text = (GOLDEN / f"{name}.json").read_text()
    for host in HOSTS:
        text = text.replace(host, PUBLIC_URL)
    return json.loads(text)


def make_token(token_id: str, asset: str, **fields: Any) -> Token:
    """Return a token with a picture."""
    defaults: dict[str, Any] = {
        "id": 1,
        "collection": CollectionRef(1, "a", "A", "0x" + "0" * 40, explicit=False),
        "owner": "owner",
        "creator": "",
        "name": "",
        "description": "",
        "amount": "0x" + "0" * 63 + "1",
        "attributes": (),
        "position": 1,
        "status": "ACTIVE",
        "moderation_score": 0.0,
        "model": None,
        "workload_id": None,
        "media": TokenMedia(MediaStatus.READY, None, "ab" * 32, "image/png", 512, 384, 1, 1000, asset),
        "listing": None,
        "refresh_requested_at": None,
        "is_prompt_private": False,
        "created_at": 0,
        "modified_at": 0,
    }
    return Token(token_id=token_id, **defaults | fields)


def make_collection(name: str, slug: str, **fields: Any) -> Collection:
    """Return a collection."""
    defaults: dict[str, Any] = {
        "id": 1,
        "owner": "owner",
        "address_of_owner": "",
        "description": "",
        "explicit": False,
        "thumbnail": None,
        "royalty_fee": 0,
        "status": CollectionStatus.ACTIVE,
        "virtual_address": "",
        "twitter": None,
        "twitter_verified": False,
        "token_count": 0,
        "created_at": 0,
        "modified_at": 0,
    }
    return Collection(name=name, slug=slug, **defaults | fields)


def poetic_animations() -> Collection:
    """Return the collection of two examples; its thumbnail is the first frame of a GIF."""
    return make_collection(
        "Poetic Animations by Ashu",
        "poetic-animations-by-ashu",
        description="Enter the world of cosmic poetry and poetic cosmos.",
        thumbnail="DoufsO6BuIZvtGEE3cFep.gif",
        twitter="https://twitter.com/AshwiniDodani",
        twitter_verified=True,
        address_of_owner="0x1BEC0E6266e97f0C7C42aa720959e46598DD8Ce1",
        royalty_fee=1000,
        virtual_address="0x2E4aae69D95C5F15b151243bDc97795B1D2c0E07",
    )


def without_media(view: dict[str, Any]) -> dict[str, Any]:
    """Return a token without the one field that the documented API does not have."""
    assert list(view.pop("media")) == ["status", "reason", "sha256", "width", "height", "frames"]
    return view


def test_a_latest_token() -> None:
    """Price and times are 256-bit numbers, and a score of 0 is an integer."""
    example = golden("latest_tokens")["result"][0]
    token = make_token(
        "0xfffbfc0674fac46f2d44433192d33d5998a41b07000000000000000000000048",
        "8peM20khuguFaKgRsQTBh.png",
        collection=CollectionRef(
            1, "sonic-vibration", "S", "0xa4DCeB149FE05B86859653e4fB78191b76305096", explicit=False
        ),
        creator="0xFFfbFC0674faC46f2d44433192d33D5998a41b07",
        name="Cathedral of Sorrow #2",
        description=example["metadata"]["description"],
        model="QmWBtxpyjJwgm6hP2va2T6RuAvXTCw5gHuni5mgYVC2mUz",
        created_at=1_684_335_341_218,
        listing=Listing(f"0x{5 * 10**16:064x}", f"0x{0x6464EB00:064x}", f"0x{0x65577F00:064x}", f"0x{1:064x}"),
    )

    view = gallery_serializers.latest_token(token, PUBLIC_URL)
    assert isinstance(view["content_moderation_score"], int)
    assert without_media(view) == example


def test_a_latest_collection() -> None:
    """Its picture is the whole one, not the thumbnail."""
    collection = make_collection(
        "The Rabbit Pact",
        "the-rabbit-pact",
        description="A Surreal Tale of Love and Betrayal",
        address_of_owner="0xE51e00dcCfa51960a1B40E1d20c9733E29581593",
        thumbnail="UG6hhvegHHJRUMl9YbUig.png",
        created_at=1_681_144_576_331,
    )

    assert gallery_serializers.latest_collection(collection, PUBLIC_URL) == golden("latest_collections")["result"][0]


def test_a_token_of_a_collection() -> None:
    """An open edition keeps its amount as it was written, and the metadata URL has no prefix."""
    example = golden("tokens_of_collection")["result"][0]
    token = make_token(
        "0x02d65b0fd9bd351e3b92ebe3d492e0c50d55554a000000000000000000000002",
        "f_H5ip5KoxWLr2memvCk7.png",
        collection=CollectionRef(1, "red-every-day", "R", "0x47FA5Db2949BfC5aE791Ef34d7C5e20FD894D3c2", explicit=False),
        creator="0x02d65B0Fd9bd351e3b92ebe3d492E0c50D55554A",
        name="R.E.D. #001",
        description=example["metadata"]["description"],
        amount="0x" + "F" * 64,
        refresh_requested_at=1_681_402_959_054,
        created_at=1_680_026_672_269,
        modified_at=1_681_402_959_106,
    )

    assert without_media(gallery_serializers.token_of_collection(token, PUBLIC_URL)) == example


def test_a_single_token() -> None:
    """It has its attributes and the job that it was made by."""
    example = golden("token")
    token = make_token(
        "0x1bec0e6266e97f0c7c42aa720959e46598dd8ce100000000000000000000004e",
        "UkVI3r_CjBrJ4QFbSQfoK.gif",
        collection=CollectionRef(
            1, "poetic-animations-by-ashu", "P", "0x2E4aae69D95C5F15b151243bDc97795B1D2c0E07", explicit=False
        ),
        creator="0x1BEC0E6266e97f0C7C42aa720959e46598DD8Ce1",
        name="To The Moon And Back",
        description=example["metadata"]["description"],
        amount=f"0x{3:064x}",
        attributes=(
            {"trait_type": "Category", "value": "Genesis Animation"},
            {"trait_type": "Format", "value": "Words to ART"},
            {"trait_type": "Edition", "value": "Limited"},
            {"trait_type": "Theme", "value": "Life"},
            {"trait_type": "Artist", "value": "Ashwini Dodani"},
        ),
        workload_id="0xed0fbcda7a00686163bb4afc444866ef",
    )

    assert without_media(gallery_serializers.single_token(token, PUBLIC_URL)) == example


def test_a_collection() -> None:
    """Its picture is a PNG of 64 by 64 pixels, whatever the picture is."""
    assert gallery_serializers.single_collection(poetic_animations(), PUBLIC_URL) == golden("collection")


def test_a_collection_of_a_user() -> None:
    """It says in addition which name to ask for it with."""
    view = gallery_serializers.collection_of_user(poetic_animations(), PUBLIC_URL)

    assert view == golden("collections_of_user")["collections"][0]


def test_a_user() -> None:
    """Its picture is a PNG of 64 by 64 pixels."""
    profile = Profile(
        caller_id="owner",
        address="0x4e3A99830E5ffb86952B14aDBD5746ce84A6F6F3",
        username="zkBrain",
        bio="$ /dev/null",
        link="https://generaitiv.ai",
        image="MLuydpuSwkBglk7VoZGKR.webp",
        twitter="https://twitter.com/zk_brain",
        twitter_verified=True,
        created_at=0,
        modified_at=0,
    )

    assert gallery_serializers.user(profile, PUBLIC_URL) == golden("user")


@pytest.mark.parametrize(
    "serialize",
    [gallery_serializers.latest_token, gallery_serializers.token_of_collection, gallery_serializers.single_token],
)
def test_a_token_without_a_picture_has_the_same_fields(serialize: Any) -> None:
    """What it does not have is null, and the reason stands beside the status."""
    bare = make_token("0x" + "0" * 64, "", media=TokenMedia(MediaStatus.FAILED, "Not a picture."))
    full = make_token("0x" + "0" * 64, "a.png")

    view = serialize(bare, PUBLIC_URL)
    assert list(view) == list(serialize(full, PUBLIC_URL))
    assert view["metadata"]["image"] is None
    assert (view["media"]["status"], view["media"]["reason"]) == ("failed", "Not a picture.")
