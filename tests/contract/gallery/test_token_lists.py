"""Lists of tokens: paging by cursor and by number, the explicit filter, order and moves."""

from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from schemas.errors import Conflict, Forbidden, Invalid, NotFound
from schemas.gallery.collections import Collection, CollectionStatus, NewCollection
from schemas.gallery.pages import MAX_OFFSET, ExplicitFilter, Listed, Page
from schemas.gallery.tokens import Token
from schemas.paging import Cursor
from stores.gallery import Gallery
from stores.gallery.tables import tokens
from tests.contract.gallery.conftest import ALICE, BOB, add_tokens, run_at_once


def names(listed: Listed[Token]) -> list[str]:
    """The names of the tokens of a page."""
    return [token.name for token in listed.items]


@pytest.fixture
def explicit(gallery: Gallery, collection: Collection) -> Collection:
    """A collection of explicit tokens, which were created in turn with those of ``collection``."""
    made = gallery.collections.create(ALICE, NewCollection("Explicit", explicit=True))
    for number in range(4):
        add_tokens(gallery, collection, f"plain{number}")
        add_tokens(gallery, made, f"explicit{number}")
    return made


def test_cursors_walk_the_newest_tokens_once_while_others_are_added(
    gallery: Gallery, collection: Collection, explicit: Collection
) -> None:
    """Tokens that were created in the same millisecond keep an order; new ones do not shift a page."""
    seen, cursor = [], None
    for _ in range(3):
        page = gallery.tokens.list_latest(Page(cursor=cursor, size=3))
        seen += names(page)
        cursor = page.next_cursor
        add_tokens(gallery, explicit, "late")

    assert cursor is None
    assert seen == [f"{kind}{number}" for number in (3, 2, 1, 0) for kind in ("explicit", "plain")]
    assert names(gallery.tokens.list_latest(Page(number=1, size=3))) == seen[:3]
    assert collection.id != explicit.id


def test_filters_say_how_many_tokens_they_hide(gallery: Gallery, collection: Collection, explicit: Collection) -> None:
    """A collection's flag and status apply to its tokens from the moment they change."""
    address = gallery.profiles.get_or_create(ALICE).address
    latest, of_owner = gallery.tokens.list_latest, lambda page: gallery.tokens.list_of_owner(address, page)
    for read in (latest, of_owner):
        lists = {kind: read(Page(size=3, explicit=kind)) for kind in ExplicitFilter}
        assert names(lists[ExplicitFilter.EXCLUDE]) == ["plain3", "plain2", "plain1"]
        assert names(lists[ExplicitFilter.ONLY]) == ["explicit3", "explicit2", "explicit1"]
        assert [lists[kind].hidden for kind in ExplicitFilter] == [0, 4, 4]
    collection = gallery.collections.get(collection.id)
    only = gallery.tokens.list_of_collection(collection, Page(explicit=ExplicitFilter.ONLY))
    assert (only.items, only.next_cursor, only.hidden) == ((), None, 4)

    gallery.collections.update(ALICE, explicit.id, {"explicit": False})
    gallery.collections.update(ALICE, collection.id, {"status": CollectionStatus.ARCHIVED})
    for read in (latest, of_owner):
        assert names(read(Page(explicit=ExplicitFilter.EXCLUDE)))[0] == "explicit3"
        assert [len(read(Page(explicit=kind)).items) for kind in ExplicitFilter] == [4, 4, 0]
    assert names(gallery.tokens.list_of_collection(collection, Page()))[0] == "plain0"


def test_deep_pages_are_refused_with_a_hint_at_the_cursor(gallery: Gallery, collection: Collection) -> None:
    """So are cursors that this server has not made; an old client's cursor 0 is the first page."""
    add_tokens(gallery, collection, "a", "b")
    with pytest.raises(Invalid) as caught:
        gallery.tokens.list_latest(Page(number=MAX_OFFSET // 50 + 1))
    assert "cursor" in caught.value.problems[0]
    assert gallery.tokens.list_latest(Page(number=MAX_OFFSET // 50)).items == ()
    for cursor in ("1", "x" * 5000, Cursor(10**15, "é").encode(), Cursor(1, "9" * 40).encode(), Cursor(1, "").encode()):
        with pytest.raises(Invalid):
            gallery.tokens.list_of_collection(collection, Page(cursor=cursor))
    assert names(gallery.tokens.list_of_collection(collection, Page(cursor="0"))) == ["a", "b"]


def test_tokens_move_within_and_between_collections(gallery: Gallery, collection: Collection, engine: Engine) -> None:
    """Counts follow; a gap that is used up is made again."""
    a, b, c, d = add_tokens(gallery, collection, "a", "b", "c", "d")
    gallery.tokens.move(ALICE, d.token_id, before=a.token_id)
    gallery.tokens.move(ALICE, a.token_id)
    gallery.tokens.move(ALICE, b.token_id, before=b.token_id)
    assert names(gallery.tokens.list_of_collection(collection, Page())) == ["d", "b", "c", "a"]
    with engine.begin() as connection:
        for position, token in enumerate((d, b, c, a), 1):
            connection.execute(update(tokens).where(tokens.c.id == token.id).values(position=position))
    gallery.tokens.move(ALICE, a.token_id, before=b.token_id)
    gallery.tokens.move(ALICE, c.token_id, before=d.token_id)
    add_tokens(gallery, collection, "e")
    assert names(gallery.tokens.list_of_collection(collection, Page())) == ["c", "d", "a", "b", "e"]

    other = gallery.collections.create(ALICE, NewCollection("Other", explicit=True))
    gallery.tokens.move(ALICE, a.token_id, collection_id=other.id)
    gallery.tokens.move(ALICE, b.token_id, collection_id=other.id, before=a.token_id)
    assert names(gallery.tokens.list_of_collection(other, Page())) == ["b", "a"]
    assert [gallery.collections.get(item.id).token_count for item in (collection, other)] == [3, 2]
    assert names(gallery.tokens.list_latest(Page(explicit=ExplicitFilter.ONLY))) == ["b", "a"]
    with pytest.raises(Conflict):
        gallery.tokens.move(ALICE, a.token_id, before=c.token_id)
    foreign = gallery.collections.create(BOB, NewCollection("Foreign"))
    for caller, target in ((ALICE, foreign.id), (BOB, foreign.id)):
        with pytest.raises(Forbidden):
            gallery.tokens.move(caller, a.token_id, collection_id=target)


def test_tokens_that_are_moved_and_deleted_at_once_are_counted(gallery: Gallery, collection: Collection) -> None:
    """Each is in one collection or in none, and both collections can be emptied."""
    other = gallery.collections.create(ALICE, NewCollection("Other"))
    made = add_tokens(gallery, collection, *"abcdefgh")

    def move_or_delete(number: int) -> Token:
        token_id = made[number // 2].token_id
        if number % 2:
            return gallery.tokens.delete(ALICE, token_id)
        return gallery.tokens.move(ALICE, token_id, collection_id=other.id)

    results = run_at_once(2 * len(made), move_or_delete)

    assert {type(result) for result in results} <= {Token, NotFound}
    assert [gallery.collections.get(item.id).token_count for item in (collection, other)] == [0, 0]
    for item in (collection, other):
        gallery.collections.delete(ALICE, item.id)


def test_reordered_tokens_take_each_others_places(gallery: Gallery, collection: Collection) -> None:
    """The others stay; a list with an unknown or repeated token changes nothing."""
    made = add_tokens(gallery, collection, "a", "b", "c", "d", "e")
    ids = [token.token_id for token in made]
    gallery.tokens.reorder(ALICE, collection.id, [ids[4], ids[2], ids[0]])
    expected = ["e", "b", "c", "d", "a"]
    assert names(gallery.tokens.list_of_collection(collection, Page())) == expected

    gallery.tokens.reorder(ALICE, collection.id, [])
    for token_ids, error in (([ids[0], ids[0]], Invalid), ([ids[1], "0x"], Conflict), (["0x"] * 1001, Invalid)):
        with pytest.raises(error):
            gallery.tokens.reorder(ALICE, collection.id, token_ids)
    with pytest.raises(Forbidden):
        gallery.tokens.reorder(BOB, collection.id, ids)
    assert names(gallery.tokens.list_of_collection(collection, Page())) == expected


def test_lists_of_tokens_walk_along_their_indexes(gallery: Gallery, explicit: Collection, engine: Engine) -> None:
    """They never read more rows of the table than a page has, which they find by their ids."""
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads small tables whole")
    plans: list[str] = []

    def explain(_: object, cursor: Any, statement: str, parameters: Any, *_rest: object) -> None:
        if statement.startswith("SELECT"):
            explained = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in explained)

    event.listen(engine, "before_cursor_execute", explain)
    for kind in ExplicitFilter:
        gallery.tokens.list_latest(Page(explicit=kind))
        gallery.tokens.list_latest(Page(explicit=kind, cursor=Cursor(2**52, "9").encode()))
        gallery.tokens.list_of_collection(explicit, Page(explicit=kind))
    event.remove(engine, "before_cursor_execute", explain)

    ways = {plan.partition(" USING ")[2].partition(" (")[0] for plan in plans if " gallery_tokens" in plan}
    indexes = {f"COVERING INDEX gallery_tokens_{name}" for name in ("latest", "collection")}
    assert ways == indexes | {"INTEGER PRIMARY KEY"}
