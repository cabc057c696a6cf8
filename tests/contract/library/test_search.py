"""The library's lists, in SQLite and in PostgreSQL: the same question has the same answer in both."""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, update

from schemas.errors import Invalid
from schemas.library.search_query import SearchQuery, SortKey, SortOrder, parse_query, parse_sort_order
from schemas.paging import KeysetCursor
from stores.library import tables
from stores.library.search import SearchFilter
from tests.conftest import FakeClock
from tests.contract.library.test_scan_writer import IndexedFolder
from tests.support.model_files import civitai_model, write_safetensors

BY_NAME = SortOrder(SortKey.NAME, descending=False)
TAGS = ["ink", "Style", "category", "100% cotton", "snake_case", "Ärger", "it's", 'say "hi"', "NOT", "水墨"]


@pytest.fixture
def library(engine: Engine, clock: FakeClock, tmp_path: Path) -> IndexedFolder:
    """An empty one."""
    folder = tmp_path / "models"
    folder.mkdir()
    return IndexedFolder(folder, engine, clock)


def told(path: Path, model_id: int, **more: Any) -> None:
    """What the catalogue says of a model, beside its file."""
    path.with_suffix(".api_info.json").write_text(json.dumps(civitai_model(model_id, 10 * model_id, **more)))


@pytest.fixture
def shelf(library: IndexedFolder, clock: FakeClock) -> IndexedFolder:
    """Ten models, each with something of its own."""
    folder, edits = library.folder, library.stores.user_edits
    ink = write_safetensors(folder / "loras" / "Styles" / "a.safetensors", metadata={"ss_network_dim": "32"}, data=b"1")
    stats = {"downloadCount": 1000, "thumbsUpCount": 7}
    told(ink, 1, name="Ink Wash", tags=TAGS, stats=stats, creator={"username": "Ann O'Neil"}, nsfwLevel=3)
    cat = write_safetensors(folder / "loras" / "b.safetensors", metadata={"ss_network_dim": "8"}, data=b"22")
    told(cat, 2, name="ÉCLAIR", tags=["cat", "style"], stats={"downloadCount": 5}, nsfwLevel=4)
    write_safetensors(folder / "checkpoints" / "base_100%.safetensors", data=b"3" * 3000)
    write_safetensors(folder / "loras" / "水墨画風格.safetensors", metadata={"ss_network_dim": "64"}, data=b"4444")
    write_safetensors(folder / "loras" / "한국어 스타일.safetensors", data=b"55555")
    write_safetensors(folder / "vae" / "Straße.safetensors", data=b"666666")
    (folder / "vae" / "old.ckpt").write_bytes(b"\x80\x02}q\x00.")
    (folder / "vae" / "half.safetensors").write_bytes(b"\x10")
    write_safetensors(folder / "embeddings" / "twin.safetensors", data=b"7777777")
    write_safetensors(folder / "embeddings" / "copy.safetensors", data=b"7777777")
    gone = write_safetensors(folder / "embeddings" / "gone.safetensors", data=b"88888888")
    library.scan()
    library.hash()
    gone.unlink()
    library.scan()
    [ident] = library.ids("name:base")
    edits.write(ident, {"notes": "Hände sehen gut aus; use 0.8", "trainedWords": ["photo of sks", "sks dog"]})
    library.stores.images.add(ident, None, {"nsfw_level": 1, "params": {}})
    return library


FOUND: list[tuple[str, list[str]]] = [
    ("base:sdxl", ["Ink Wash", "ÉCLAIR"]),
    ('base:"SDXL 1.0"', ["Ink Wash", "ÉCLAIR"]),
    ("base:%", []),
    ("type:lora -base:sdxl", ["水墨画風格", "한국어 스타일"]),
    ("category:vae", ["Straße", "half", "old"]),
    ("folder:styles", ["Ink Wash"]),
    ("creator:o'neil", ["Ink Wash"]),
    ("name:éclair", ["ÉCLAIR"]),
    ("name:ECL", ["ÉCLAIR"]),
    ("name:STRASSE", ["Straße"]),
    ("name:straße", ["Straße"]),
    ("name:%", ["base 100%"]),
    ("name:_", []),
    ("tag:cat", ["ÉCLAIR"]),
    ("tag:category", ["Ink Wash"]),
    ("tag:STYLE -tag:cat", ["Ink Wash"]),
    ('tag:"100% cotton"', ["Ink Wash"]),
    ("tag:snakeXcase", []),
    ("tag:arger", ["Ink Wash"]),
    ("tag:it's", ["Ink Wash"]),
    ("has:metadata", ["Ink Wash", "ÉCLAIR"]),
    ("has:civitai", ["Ink Wash", "ÉCLAIR"]),
    ("has:notes", ["base 100%"]),
    ("has:images", ["base 100%"]),
    ("has:words", ["base 100%", "Ink Wash", "ÉCLAIR"]),
    ("has:tags -has:notes", ["Ink Wash", "ÉCLAIR"]),
    ("has:problem", ["half"]),
    ("is:pickle", ["old"]),
    ("is:duplicate", ["copy"]),
    ("is:missing", ["gone"]),
    ("-is:local", ["gone"]),
    ("is:hashed is:pickle", ["old"]),
    ("dim:32", ["Ink Wash"]),
    ("dim:>=32", ["Ink Wash", "水墨画風格"]),
    ("dim:<32", ["ÉCLAIR"]),
    ("-dim:<=64 has:notes", ["base 100%"]),
    ("dim:>99999999999", []),
    ("size:>2kb", ["base 100%"]),
    ("size:>999999999999999gib", []),
    ("downloads:>=5 likes:<7", ["ÉCLAIR"]),
    ("nsfw:<=2", ["base 100%", "copy", "half", "Ink Wash", "old", "Straße", "水墨画風格", "한국어 스타일"]),
    ("nsfw:>2", ["ÉCLAIR"]),
    ("nsfw:2", ["Ink Wash"]),
    ("nsfw:>=99", []),
    # Words: of names, tags, trained words, notes, creators and files.
    ("ink", ["Ink Wash"]),
    ("INK wash", ["Ink Wash"]),
    ("was", ["Ink Wash"]),
    ("ash", []),
    ('"ink wash"', ["Ink Wash"]),
    ('"wash ink"', []),
    ("cotton", ["Ink Wash"]),
    ("word10", ["Ink Wash"]),
    ("neil", ["Ink Wash"]),
    ("hande", ["base 100%"]),
    ("HÄNDE", ["base 100%"]),
    ('"gut aus"', ["base 100%"]),
    ('"of sks" dog', ["base 100%"]),
    ('"sks dog"', ["base 100%"]),
    ("eclair", ["ÉCLAIR"]),
    ("strasse", ["Straße"]),
    ("水", ["Ink Wash", "水墨画風格"]),
    ("墨画", ["水墨画風格"]),
    ("風格", ["水墨画風格"]),
    ("画墨", []),
    ("스타", ["한국어 스타일"]),
    ("-style -ink has:tags", []),
    ("copy", ["copy"]),
    ("twin", ["copy"]),
    # What means something to databases means nothing here.
    ("NOT", ["Ink Wash"]),
    ("ink OR eclair", []),
    ("ink AND wash", []),
    ("NEAR(ink wash)", []),
    ("search_text:ink", []),
    ("ink*", ["Ink Wash"]),
    ("i* w*", ["Ink Wash"]),
    ("^ink", ["Ink Wash"]),
    ("ink + wash", ["Ink Wash"]),
    ("ink & wash | ! ( ) <-> : ' \" \\", ["Ink Wash"]),
    ("ink:*", ["Ink Wash"]),
    ("'; DROP TABLE library_models; --", []),
    ("100%", ["base 100%", "Ink Wash"]),
    # Marks alone stand nowhere; beside words they are not looked for.
    ("%", []),
    ("\U0001f600", []),
    ("_ -style", ["Straße", "base 100%", "copy", "half", "old", "水墨画風格", "한국어 스타일"]),
    ('order:size "_"', []),
    ("ink \U0001f600", ["Ink Wash"]),
]


def test_every_filter_and_every_word_finds_what_it_says(shelf: IndexedFolder) -> None:
    """Without case and accents, tags whole, and nothing that is asked is a word of the database's own language."""
    wrong = {}
    for text, expected in FOUND:
        found = shelf.names(text)
        if sorted(found) != sorted(expected):
            wrong[text] = found
    assert wrong == {}


def page_of(library: IndexedFolder, **wanted: Any) -> list[str]:
    """The names of the models that are wanted, by name."""
    asked = SearchFilter(**{"equal": {}, "query": SearchQuery(), "order": BY_NAME} | wanted)
    page = library.stores.search.find_page(asked, limit=100)
    assert page.total == len(page.ids)
    with library.engine.connect() as connection:
        query = select(tables.models.c.id, tables.models.c.name)
        names = {row.id: row.name for row in connection.execute(query)}
    return [names[ident] for ident in page.ids]


def test_the_filters_of_the_seed(shelf: IndexedFolder) -> None:
    """Equality without case for each, any, all or none of the tags, and what is told of."""
    assert page_of(shelf, equal={"category": "lora", "base_model": "sdxl 1.0"}) == ["ÉCLAIR", "Ink Wash"]
    assert page_of(shelf, equal={"subcategory": "STYLES"}) == ["Ink Wash"]
    assert page_of(shelf, equal={"type": "vae"}) == ["half", "old", "Straße"]
    assert page_of(shelf, equal={"category": "LoR"}) == page_of(shelf, equal={"type": "%"}) == []
    assert page_of(shelf, tags=("CAT", "ink")) == ["ÉCLAIR", "Ink Wash"]
    assert page_of(shelf, tags=("style", "ink"), tags_mode="all") == ["Ink Wash"]
    assert page_of(shelf, tags=("style", "nobody's"), tags_mode="all") == []
    assert page_of(shelf, tags=("cat", "%"), tags_mode="none", equal={"base_model": "SDXL 1.0"}) == ["Ink Wash"]
    assert page_of(shelf, tags=("c_t", "%", "ca", "categor")) == []
    assert page_of(shelf, has_metadata=True) == ["ÉCLAIR", "Ink Wash"]
    assert len(page_of(shelf, has_metadata=False)) == 7
    assert page_of(shelf, equal={"category": "LoRA"}, tags=("style",), max_nsfw=2, query=parse_query("wash")) == [
        "Ink Wash"
    ]


def test_what_there_is_to_filter_by(shelf: IndexedFolder) -> None:
    """Each once, in one of its spellings, the most frequent first; nothing of models that have gone."""
    found = shelf.stores.search.list_filter_values()
    assert found["categories"][0] == "LoRA"
    assert set(found["categories"]) == {"LoRA", "VAE", "Checkpoint", "Embedding"}
    assert found["baseModels"] == ["SDXL 1.0"]
    assert found["tags"][0].lower() == "style"
    assert {tag.lower() for tag in found["tags"]} == {tag.lower() for tag in (*TAGS, "cat")}
    for edit in ({"baseModel": "sdxl 1.0", "type": "lora"}, {"baseModel": ""}):
        shelf.stores.user_edits.write(shelf.ids("ink")[0], edit)
        assert [one.lower() for one in shelf.stores.search.list_filter_values()["baseModels"]] == ["sdxl 1.0"]


def test_levels_are_compared_by_their_highest_bit(library: IndexedFolder) -> None:
    """Every mask against every level that one may ask for, as a parameter and in words."""
    for mask in range(64):
        path = write_safetensors(library.folder / f"m{mask}.safetensors", data=bytes([mask, 1]))
        told(path, mask + 1, name=f"m{mask}", nsfwLevel=mask)
    library.scan()
    everything = page_of(library)
    assert len(everything) == 64
    for most in range(64):
        expected = [name for name in everything if int(name[1:]).bit_length() <= most.bit_length()]
        assert page_of(library, max_nsfw=most) == expected
        assert page_of(library, query=parse_query(f"nsfw:<={most}")) == expected
        assert page_of(library, query=parse_query(f"-nsfw:>{most}")) == expected
    assert library.names("nsfw:0") == library.names("nsfw:<1") == ["m0"]
    assert len(library.names("nsfw:=32")) == len(library.names("nsfw:>=32")) == 32


@pytest.fixture
def many(library: IndexedFolder) -> IndexedFolder:
    """Twenty-three models, many of which are equal in what they are sorted by."""
    for number in range(23):
        add(library, number)
    library.scan()
    return library


def add(library: IndexedFolder, number: int) -> None:
    """A model's file."""
    name = ["Zebra", "zebra", "_under", "ähnlich", "Ab c", "ab-c", "1"][number % 7]
    path = write_safetensors(library.folder / str(number) / f"{name}.safetensors", data=bytes(number % 3 + 1))
    told(path, number + 1, name=name, stats={"downloadCount": number % 4, "thumbsUpCount": number % 2})
    os.utime(path, ns=(0, 10**9 * (number % 5)))


ORDERS = [SortOrder(sort, descending) for sort in SortKey for descending in (True, False)]


def keys_of(library: IndexedFolder) -> dict[int, dict[SortKey, Any]]:
    """What each model is sorted by."""
    with library.engine.connect() as connection:
        rows = connection.execute(select(tables.models)).all()
    return {
        row.id: {
            SortKey.NEWEST: row.newest_at,
            SortKey.OLDEST: row.newest_at,
            SortKey.NAME: row.name_key,
            SortKey.DOWNLOADS: row.downloads,
            SortKey.LIKES: row.likes,
            SortKey.SIZE: row.size_bytes,
        }
        for row in rows
    }


def wanted(order: SortOrder) -> SearchFilter:
    """Everything, in an order."""
    return SearchFilter({}, SearchQuery(), order)


def by_cursor(
    library: IndexedFolder, order: SortOrder, between: Callable[[], None] = lambda: None
) -> Iterator[list[int]]:
    """Page by page, with something happening between two of them."""
    cursor, listing = None, library.stores.search
    while True:
        page = listing.find_page(wanted(order), limit=4, cursor=cursor)
        yield page.ids
        if page.next_cursor is None:
            return
        # As it travels.
        cursor = KeysetCursor.decode(page.next_cursor.encode())
        between()


def test_the_newest_is_what_was_published_last(library: IndexedFolder) -> None:
    """Else when its file was written; scans change nothing of it."""
    published = {"old": "2020-01-01T00:00:00Z", "new": "2030-01-01T00:00:00Z"}
    for number, (name, written) in enumerate((("old", 10**18), ("new", 0), ("file", 16 * 10**17))):
        path = write_safetensors(library.folder / f"{name}.safetensors", data=name.encode())
        if name in published:
            answer = {"id": number + 1, "modelId": number + 10, "name": "v1", "publishedAt": published[name]}
            path.with_suffix(".civitai.info").write_text(json.dumps(answer))
        os.utime(path, ns=(0, written))
    for _ in range(2):
        library.scan(full=True)
        assert page_of(library, order=parse_sort_order("newest")) == ["new", "file", "old"]
        assert page_of(library, order=parse_sort_order("oldest")) == ["old", "file", "new"]


def test_pages_have_everything_once(many: IndexedFolder) -> None:
    """In every order, by number and by cursor, also where many are equal; and the order is what it says it is."""
    keys, listing = keys_of(many), many.stores.search
    for order in ORDERS:
        expected = sorted(keys, key=lambda ident: (keys[ident][order.key], ident), reverse=order.descending)
        pages = [listing.find_page(wanted(order), limit=5, offset=offset) for offset in range(0, 25, 5)]
        assert [ident for page in pages for ident in page.ids] == expected
        assert [page.total for page in pages] == [23] * 5
        assert [page.next_cursor is not None for page in pages] == [True] * 4 + [False]
        assert list(itertools.chain.from_iterable(by_cursor(many, order))) == expected
    assert listing.find_page(wanted(BY_NAME), limit=5, offset=25).ids == []


def test_a_cursor_goes_on_while_models_come_and_go(many: IndexedFolder) -> None:
    """Nothing that is there all the time comes twice or is left out, wherever others are put or taken from."""
    numbers = itertools.count(100)

    def change() -> None:
        add(many, next(numbers))
        min(many.folder.rglob("*.safetensors"), key=lambda path: int(path.parent.name)).unlink()
        many.scan()

    for order in (SortOrder(sort, sort.descending_by_default) for sort in SortKey):
        before = set(many.ids())
        seen = list(itertools.chain.from_iterable(by_cursor(many, order, change)))
        assert len(seen) == len(set(seen))
        assert before & set(many.ids()) <= set(seen)


@pytest.mark.parametrize(
    "mark",
    [
        KeysetCursor("-size", "5", 1),
        KeysetCursor("+name", "a", 1),
        KeysetCursor("newest", "5", 1),
        KeysetCursor("-newest", "x", 1),
        KeysetCursor("-newest", "", 1),
        KeysetCursor("-newest", "9" * 40, 1),
        KeysetCursor("-newest", "\u0663", 1),
        KeysetCursor("-newest", "5", 2**40),
        KeysetCursor("-newest", "5", -1),
    ],
    ids=repr,
)
def test_a_cursor_of_another_order_is_refused(library: IndexedFolder, mark: KeysetCursor) -> None:
    """And one that nobody gave out."""
    with pytest.raises(Invalid, match=r"cursor|not valid"):
        library.stores.search.find_page(wanted(parse_sort_order("newest")), limit=5, cursor=mark)
    with pytest.raises(Invalid):
        library.stores.search.find_page(wanted(BY_NAME), limit=5, cursor=KeysetCursor("+name", "a\0", 1))
    assert (
        library.stores.search.find_page(wanted(BY_NAME), limit=5, cursor=KeysetCursor("+name", "", 2**31 - 1)).ids == []
    )


def test_a_name_of_any_length_is_sorted_and_gone_on_from(library: IndexedFolder) -> None:
    """An index takes no more than so much of it."""
    for number in range(3):
        path = write_safetensors(library.folder / f"{number}.safetensors", data=bytes([number]))
        name = "".join(chr(0x4E00 + (number * 7919 + place * place * 31) % 20_000) for place in range(2000))
        told(path, number + 1, name=name)
    library.scan()
    assert len(list(itertools.chain.from_iterable(by_cursor(library, BY_NAME)))) == 3
    first = library.stores.search.find_page(wanted(BY_NAME), limit=1).next_cursor
    assert first
    assert len(first.encode()) < 2000


# A model's own words, as both databases must find them; of letters that every version of Unicode has.
WORDS = st.text(st.characters(codec="utf-8", max_codepoint=0x2FFF), min_size=1, max_size=12)


def test_both_databases_take_every_question(shelf: IndexedFolder) -> None:
    """Whatever is asked is answered: no word is an operator, no number too large."""
    listing = shelf.stores.search

    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(WORDS | st.sampled_from(["name:", "-", '"', "tag:", "base:", "size:>9", "nsfw:7 ", "\0"])).map("".join)
    )
    def ask(text: str) -> None:
        try:
            query = parse_query(text)
        except Invalid:
            return
        # The API's fields take no control characters.
        plain = text.replace("\0", "")
        page = listing.find_page(SearchFilter({"category": plain}, query, BY_NAME, tags=(plain,)), limit=10)
        assert page.ids == []
        page = listing.find_page(SearchFilter({}, query, BY_NAME), limit=10)
        assert page.total >= len(page.ids)

    ask()


def test_what_stands_in_a_text_is_found(shelf: IndexedFolder) -> None:
    """Any part of it, from the beginning of a word on."""
    [ident] = shelf.ids("name:base")

    @settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
    @given(st.text(st.characters(codec="utf-8", max_codepoint=0x24F, categories=["L", "Nd", "Zs"]), max_size=40))
    def write(text: str) -> None:
        shelf.stores.user_edits.write(ident, {"notes": f"begin {text} end"})
        for word in text.replace(":", " ").split():
            assert ident in shelf.ids(f'"{word}"'), word
        if len(text) < 400:
            assert ident in shelf.ids(f'"begin {text} end"')

    write()


def test_models_that_are_empty_are_nowhere(shelf: IndexedFolder) -> None:
    """Neither in lists nor in counts, until one asks for what is missing."""
    with shelf.engine.begin() as connection:
        connection.execute(update(tables.models).values(files=0))
    assert page_of(shelf) == []
    assert all(not found for found in shelf.stores.search.list_filter_values().values())
    assert len(shelf.ids("is:missing")) == 10
