"""Tokens: ids, creation, changes, provenance."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine, func, select

from schemas.errors import Conflict, Forbidden, Invalid, NotFound
from schemas.gallery.assets import Asset
from schemas.gallery.collections import Collection, NewCollection
from schemas.gallery.encodings import MAX_UINT256, format_uint256
from schemas.gallery.tokens import (
    Listing,
    MediaStatus,
    NewToken,
    Token,
    TokenMedia,
    format_token_id,
    split_token_id,
)
from stores.gallery import Gallery
from stores.gallery.tables import provenance
from tests.contract.gallery.conftest import ALICE, BOB, add_tokens, run_at_once

JOB_ID = "ab" * 16


def test_parallel_reservations_get_different_ids(gallery: Gallery) -> None:
    """They are the caller's address and consecutive numbers from 1."""
    address = gallery.profiles.get_or_create(ALICE).address.lower()
    batches = run_at_once(10, lambda _: [gallery.tokens.reserve_id(ALICE) for _ in range(10)])

    ids = [token_id for batch in batches for token_id in batch]  # type: ignore[union-attr] # an error fails here
    assert sorted(map(split_token_id, ids)) == [(address, number) for number in range(1, 101)]


def test_only_reserved_ids_of_ones_own_can_be_created_and_once(gallery: Gallery, collection: Collection) -> None:
    """A refused creation does not count in the collection."""
    own, foreign = gallery.tokens.reserve_id(ALICE), gallery.tokens.reserve_id(BOB)
    next_id = format_token_id(own[:42], 2)
    for token_id, error in ((foreign, Forbidden), (next_id, Forbidden), (own[:42] + "0" * 24, Forbidden)):
        with pytest.raises(error):
            gallery.tokens.create(ALICE, collection, token_id, NewToken("x"))
    for token_id in ("", "0x12", own + "0", "0x" + "g" * 64):
        with pytest.raises(Invalid):
            gallery.tokens.create(ALICE, collection, token_id, NewToken("x"))
    with pytest.raises(Forbidden):
        gallery.tokens.create(BOB, collection, foreign, NewToken("x"))

    token = gallery.tokens.create(ALICE, collection, own.upper().replace("0X", "0x"), NewToken("x"))
    assert token.token_id == own
    with pytest.raises(Conflict):
        gallery.tokens.create(ALICE, collection, own, NewToken("y"))
    assert gallery.tokens.find(own.upper().replace("0X", "0x")) == token
    assert gallery.collections.get(collection.id).token_count == 1


def test_concurrent_creations_of_one_id_have_one_winner(gallery: Gallery, collection: Collection) -> None:
    """The collection counts one token."""
    token_id = gallery.tokens.reserve_id(ALICE)
    results = run_at_once(6, lambda number: gallery.tokens.create(ALICE, collection, token_id, NewToken(str(number))))

    assert [type(result) for result in results if not isinstance(result, Conflict)] == [Token]
    assert gallery.collections.get(collection.id).token_count == 1


def test_a_token_keeps_what_it_was_created_with(gallery: Gallery, collection: Collection) -> None:
    """Times come from the clock, the creator's address in EIP-55 form, the media state starts with none."""
    listing = Listing(*(f"0x{number:064x}" for number in (5, 6, 7, 8)))
    fields = NewToken(
        name="😀 Cathedral",
        description="of sorrow",
        amount=format_uint256(MAX_UINT256),
        attributes=({"trait_type": "level", "value": 3, "display_type": "number"}, {"value": "x"}),
        moderation_score=0.25,
        model="QmX",
        workload_id="0x" + JOB_ID,
        listing=listing,
        is_prompt_private=True,
        provenance={"jobId": JOB_ID, "prompt": "a cathedral", "loras": [{"name": "ink", "sha256": "0" * 64}]},
    )
    token = gallery.tokens.create(ALICE, collection, gallery.tokens.reserve_id(ALICE), fields)

    names = set(NewToken.__dataclass_fields__)
    assert {name: getattr(token, name) for name in names} == {name: getattr(fields, name) for name in names}
    assert token.creator == gallery.profiles.get_or_create(ALICE).address
    assert (token.collection.slug, token.media, token.status) == (collection.slug, TokenMedia(), "ACTIVE")
    # It has no picture yet.
    assert gallery.tokens.find_by_job(JOB_ID, ALICE) is None


def test_of_all_tokens_of_a_job_the_owners_first_picture_is_found(gallery: Gallery, collection: Collection) -> None:
    """However often others have kept the same job."""
    fields = NewToken("kept", provenance={"jobId": JOB_ID})
    made = [gallery.tokens.create(ALICE, collection, gallery.tokens.reserve_id(ALICE), fields) for _ in range(3)]
    foreign = gallery.collections.create(BOB, NewCollection("Others"))
    gallery.tokens.create(BOB, foreign, gallery.tokens.reserve_id(BOB), fields)
    picture = Asset("a" * 21 + ".png", "gallery/one.png", "image/png", "0" * 64, 10)
    for token in made[1:]:
        picture = replace(picture, name=str(token.id) + picture.name[1:])
        gallery.tokens.attach_media(token.token_id, TokenMedia(MediaStatus.READY, asset=picture.name), [picture])
    found = gallery.tokens.find_by_job(JOB_ID, ALICE)
    assert found is not None
    assert (found.token_id, found.provenance) == (made[1].token_id, {"jobId": JOB_ID})
    assert gallery.tokens.find_by_job(JOB_ID, BOB) is None
    assert gallery.tokens.find_by_job("0" * 32, ALICE) is None


def test_changes_need_the_owner_and_known_fields(gallery: Gallery, collection: Collection, engine: Engine) -> None:
    """The provenance goes with its token."""
    token = add_tokens(gallery, collection, "one")[0]
    listing = Listing(*("0x" + "1" * 64,) * 4)
    changed = gallery.tokens.update(
        ALICE, token.token_id, {"name": "two", "attributes": [{"value": 1}], "provenance": {"jobId": JOB_ID}}
    )
    assert (changed.name, changed.attributes, changed.provenance) == ("two", ({"value": 1},), {"jobId": JOB_ID})
    assert gallery.tokens.set_listing(ALICE, token.token_id, listing).listing == listing
    assert gallery.tokens.set_listing(ALICE, token.token_id, None).listing is None
    assert gallery.tokens.request_refresh(ALICE, token.token_id).refresh_requested_at
    for call in (
        lambda: gallery.tokens.update(BOB, token.token_id, {"name": "mine"}),
        lambda: gallery.tokens.delete(BOB, token.token_id),
        lambda: gallery.tokens.set_listing(BOB, token.token_id, None),
    ):
        with pytest.raises(Forbidden):
            call()
    with pytest.raises(Invalid):
        gallery.tokens.update(ALICE, token.token_id, {"owner": BOB})

    gallery.tokens.delete(ALICE, token.token_id)
    with pytest.raises(NotFound):
        gallery.tokens.update(ALICE, token.token_id, {"name": "gone"})
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(provenance)).scalar_one() == 0
    assert gallery.collections.get(collection.id).token_count == 0
    assert gallery.tokens.create(ALICE, collection, token.token_id, NewToken("again")).name == "again"


def test_a_token_from_a_job_is_whole_or_not_there(gallery: Gallery, collection: Collection) -> None:
    """Id, token, picture and provenance are written in one transaction."""
    asset = Asset("a" * 21 + ".png", "gallery/aa.png", "image/png", "0" * 64, 10)
    media = TokenMedia(MediaStatus.READY, sha256="0" * 64, type="image/png", width=8, height=4, asset=asset.name)
    fields = NewToken("kept", provenance={"jobId": JOB_ID})
    other = gallery.collections.create(BOB, NewCollection("Other"))
    with pytest.raises(Forbidden):
        gallery.tokens.add_from_job(ALICE, other, fields, media, [asset])
    with pytest.raises(NotFound):
        gallery.assets.find(asset.name)

    token = gallery.tokens.add_from_job(ALICE, collection, fields, media, [asset])

    assert (token.media, token.provenance) == (media, {"jobId": JOB_ID})
    assert split_token_id(token.token_id)[1] == 1
    assert gallery.assets.find(asset.name) == asset


def test_a_status_does_not_replace_a_picture(gallery: Gallery, collection: Collection) -> None:
    """It changes only from the states that the caller names, of concurrent changes one wins."""
    token_id = gallery.tokens.reserve_id(ALICE)
    gallery.tokens.create(ALICE, collection, token_id, NewToken("one"))
    empty = {MediaStatus.NONE, MediaStatus.FAILED}
    changed = run_at_once(3, lambda _: gallery.tokens.set_media_status(token_id, empty, MediaStatus.PENDING))
    assert sorted(map(bool, changed)) == [False, False, True]
    assert gallery.tokens.set_media_status(token_id, {MediaStatus.PENDING}, MediaStatus.FAILED, "broken")
    assert gallery.tokens.find(token_id).media == TokenMedia(MediaStatus.FAILED, "broken")
    gallery.tokens.attach_media(token_id, TokenMedia(MediaStatus.READY, sha256="ab" * 32))

    assert not gallery.tokens.set_media_status(token_id, empty, MediaStatus.PENDING)
    assert gallery.tokens.find(token_id).media.sha256 == "ab" * 32
    assert not gallery.tokens.set_media_status("0x" + "9" * 64, empty, MediaStatus.PENDING)
