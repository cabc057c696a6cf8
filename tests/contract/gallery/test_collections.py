"""Collections: slugs that are unique and redirect, lists, deletion."""

import pytest
from sqlalchemy import Engine

from schemas.errors import Conflict, Forbidden, Invalid, NotFound
from schemas.gallery.collections import Collection, CollectionStatus, NewCollection
from schemas.gallery.events import GalleryEvent
from schemas.gallery.pages import ExplicitFilter, Page
from schemas.gallery.tokens import MediaStatus, NewToken, TokenMedia
from stores.gallery import Gallery
from stores.gallery.events import EventQueue
from tests.contract.gallery.conftest import ALICE, BOB, add_tokens, run_at_once


def test_a_collection_is_found_by_slug_and_by_virtual_address(gallery: Gallery) -> None:
    """It has the address and the Twitter name of its owner."""
    profile = gallery.profiles.update(ALICE, {"twitter": "https://twitter.com/zk"})
    made = gallery.collections.create(ALICE, NewCollection("漢字 Ünïcode!", description="d", royalty_fee=1000))

    assert (made.slug, made.owner, made.address_of_owner) == ("hanzi-unicode", ALICE, profile.address)
    assert (made.twitter, made.royalty_fee, made.status) == ("https://twitter.com/zk", 1000, CollectionStatus.ACTIVE)
    for name in (made.slug, made.slug.upper(), made.virtual_address, made.virtual_address.lower()):
        found = gallery.collections.find(name)
        assert (found.collection, found.moved_from) == (made, None)
    with pytest.raises(NotFound):
        gallery.collections.find("0x" + "0" * 40)


def test_a_draft_is_neither_listed_nor_announced(gallery: Gallery, engine: Engine) -> None:
    """Once it is published, it and its tokens are, in their order; of a draft that is deleted nothing is heard."""
    queue, media = EventQueue(engine), TokenMedia(MediaStatus.READY, sha256="0" * 64, type="image/png")
    draft, dropped = (gallery.collections.create(ALICE, NewCollection(name), is_draft=True) for name in ("One", "Two"))
    tokens = [
        gallery.tokens.add_from_job(ALICE, collection, NewToken(name), shown, [], is_draft=True)
        for collection, name, shown in ((draft, "a", media), (draft, "b", TokenMedia()), (dropped, "c", media))
    ]
    gallery.tokens.delete(ALICE, tokens[2].token_id)
    gallery.collections.delete(ALICE, dropped.id)
    assert gallery.collections.list_latest(Page()).items == gallery.tokens.list_latest(Page()).items == ()
    assert queue.read(10) == []

    with pytest.raises(Forbidden):
        gallery.collections.publish(BOB, draft.id, CollectionStatus.ACTIVE)
    published = gallery.collections.publish(ALICE, draft.id, CollectionStatus.ACTIVE)

    assert gallery.collections.list_latest(Page()).items == (published,)
    assert len(gallery.tokens.list_latest(Page()).items) == 2
    assert [(event.type, event.data.get("name", event.data.get("tokenId"))) for event in queue.read(10)] == [
        (GalleryEvent.COLLECTION_CREATED, "One"),
        (GalleryEvent.TOKEN_CREATED, "a"),
        (GalleryEvent.MEDIA_READY, tokens[0].token_id),
        (GalleryEvent.TOKEN_CREATED, "b"),
    ]


@pytest.mark.parametrize("name", ["Virtual", "token", "slug-from-id", "0x" + "aB" * 20])
def test_forbidden_slugs_are_refused_with_a_free_suggestion(gallery: Gallery, name: str) -> None:
    """Words that stand in paths, and what looks like an address, cannot be slugs."""
    with pytest.raises(Invalid) as caught:
        gallery.collections.create(ALICE, NewCollection(name))
    suggestion = caught.value.details["suggestion"]

    assert gallery.collections.create(ALICE, NewCollection(name, slug=suggestion)).slug == suggestion
    with pytest.raises(Conflict):
        gallery.collections.create(BOB, NewCollection(name, slug=suggestion))


def test_concurrent_creations_of_one_slug_have_one_winner(gallery: Gallery) -> None:
    """The others get a suggestion, of which again one is free."""
    results = run_at_once(8, lambda number: gallery.collections.create(f"caller{number % 2}", NewCollection("Lens")))

    assert [result.slug for result in results if isinstance(result, Collection)] == ["lens"]
    errors = [result for result in results if not isinstance(result, Collection)]
    assert {type(error) for error in errors} == {Conflict}
    assert {error.details["suggestion"] for error in errors} == {"lens-2"}
    assert len(gallery.collections.list_latest(Page()).items) == 1


def test_a_rename_leaves_a_redirect(gallery: Gallery, collection: Collection) -> None:
    """The slug follows the name; the old one leads to the collection, and no other collection can take it."""
    renamed = gallery.collections.update(ALICE, collection.id, {"name": "Day trains"})
    found = gallery.collections.find("night-trains")
    assert (renamed.slug, found.collection, found.moved_from) == ("day-trains", renamed, "night-trains")
    with pytest.raises(Conflict) as caught:
        gallery.collections.create(BOB, NewCollection("Night trains"))
    assert caught.value.details["suggestion"] == "night-trains-2"

    back = gallery.collections.update(ALICE, collection.id, {"slug": "night-trains"})
    assert gallery.collections.find("day-trains").collection == back
    # A slug that was chosen does not follow the name.
    assert gallery.collections.update(ALICE, collection.id, {"name": "Trams"}).slug == "night-trains"


def test_changes_need_the_owner_and_valid_values(gallery: Gallery, collection: Collection) -> None:
    """A refused change leaves everything as it was."""
    other = gallery.collections.create(BOB, NewCollection("Other"))
    for changes, error in (
        ({"slug": "other"}, Conflict),
        ({"slug": "Not a slug"}, Invalid),
        ({"slug": "next"}, Invalid),
        ({"owner": BOB}, Invalid),
    ):
        with pytest.raises(error):
            gallery.collections.update(ALICE, collection.id, {"name": "x", **changes})
    with pytest.raises(Forbidden):
        gallery.collections.update(ALICE, other.id, {"name": "mine"})
    with pytest.raises(NotFound):
        gallery.collections.update(ALICE, 10**9, {"name": "mine"})
    assert gallery.collections.get(collection.id) == collection


def test_only_empty_collections_are_deleted(gallery: Gallery, collection: Collection) -> None:
    """Their slugs become free."""
    gallery.collections.update(ALICE, collection.id, {"slug": "trams"})
    token = add_tokens(gallery, collection, "one")[0]
    with pytest.raises(Conflict):
        gallery.collections.delete(ALICE, collection.id)
    with pytest.raises(Forbidden):
        gallery.collections.delete(BOB, collection.id)
    gallery.tokens.delete(ALICE, token.token_id)
    gallery.collections.delete(ALICE, collection.id)

    with pytest.raises(NotFound):
        gallery.collections.find("trams")
    assert gallery.collections.create(BOB, NewCollection("Night trains")).slug == "night-trains"


def test_lists_page_filter_and_count_what_they_hide(gallery: Gallery) -> None:
    """Archived collections are only in their owner's list, if it asks for them."""
    address = gallery.profiles.get_or_create(ALICE).address
    made = [
        gallery.collections.create(ALICE, NewCollection(f"c{number}", explicit=number % 3 == 0)) for number in range(7)
    ]
    gallery.collections.update(ALICE, made[1].id, {"status": CollectionStatus.ARCHIVED})
    expected = ["c6", "c5", "c4", "c3", "c2", "c0"]

    for read in (gallery.collections.list_latest, lambda page: gallery.collections.list_of_owner(address, page)):
        first = read(Page(size=4))
        second = read(Page(size=4, cursor=first.next_cursor))
        assert [item.name for item in (*first.items, *second.items)] == expected
        assert (second.next_cursor, first.hidden) == (None, 0)
        assert [item.name for item in read(Page(number=1, size=4)).items] == expected[4:]
        shown = {kind: read(Page(explicit=kind)) for kind in ExplicitFilter}
        assert [item.name for item in shown[ExplicitFilter.ONLY].items] == ["c6", "c3", "c0"]
        assert [shown[kind].hidden for kind in ExplicitFilter] == [0, 3, 3]
    all_of_alice = gallery.collections.list_of_owner(address.lower(), Page(), with_archived=True)
    assert len(all_of_alice.items) == 7
    assert gallery.collections.list_of_owner("0x" + "0" * 40, Page()).items == ()
