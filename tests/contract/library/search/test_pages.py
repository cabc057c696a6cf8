"""Order and pages of lists in SQLite and PostgreSQL."""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from schemas.errors import Invalid
from schemas.library.search_query import SearchQuery, SortKey, SortOrder, parse_sort_order
from schemas.library.text_normalization import MAX_SORT_KEY_CHARS
from schemas.paging import KeysetCursor
from stores.library import tables
from stores.library.search import SearchFilter
from tests.contract.library.search.conftest import find_names, write_civitai_metadata
from tests.support.indexed_folder import BY_NAME, IndexedFolder
from tests.support.model_files import write_safetensors


@pytest.fixture
def many(library: IndexedFolder) -> IndexedFolder:
    """Twenty-three models, many with equal sort keys."""
    for number in range(23):
        add_model(library, number)
    library.scan()
    return library


def add_model(library: IndexedFolder, number: int) -> None:
    """Write a model file."""
    name = ["Zebra", "zebra", "_under", "ähnlich", "Ab c", "ab-c", "1"][number % 7]
    path = write_safetensors(library.folder / str(number) / f"{name}.safetensors", data=bytes(number % 3 + 1))
    write_civitai_metadata(
        path, number + 1, name=name, stats={"downloadCount": number % 4, "thumbsUpCount": number % 2}
    )
    os.utime(path, ns=(0, 10**9 * (number % 5)))


ORDERS = [SortOrder(sort, descending) for sort in SortKey for descending in (True, False)]


def sort_keys(library: IndexedFolder) -> dict[int, dict[SortKey, Any]]:
    """Return the sort keys of each model."""
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


def all_models(order: SortOrder) -> SearchFilter:
    """Match all models, in an order."""
    return SearchFilter({}, SearchQuery(), order)


def pages_by_cursor(
    library: IndexedFolder, order: SortOrder, between: Callable[[], None] = lambda: None
) -> Iterator[list[int]]:
    """Yield the ids of each page; call ``between`` before each next one."""
    cursor, search = None, library.stores.search
    while True:
        page = search.find_page(all_models(order), limit=4, cursor=cursor)
        yield page.ids
        if page.next_cursor is None:
            return
        # As clients send it.
        cursor = KeysetCursor.decode(page.next_cursor.encode())
        between()


def test_newest_is_by_publication_or_file_time(library: IndexedFolder) -> None:
    """The publication time counts, or else the modification time; scans change neither."""
    published = {"old": "2020-01-01T00:00:00Z", "new": "2030-01-01T00:00:00Z"}
    for number, (name, written) in enumerate((("old", 10**18), ("new", 0), ("file", 16 * 10**17))):
        path = write_safetensors(library.folder / f"{name}.safetensors", data=name.encode())
        if name in published:
            answer = {"id": number + 1, "modelId": number + 10, "name": "v1", "publishedAt": published[name]}
            path.with_suffix(".civitai.info").write_text(json.dumps(answer))
        os.utime(path, ns=(0, written))
    for _ in range(2):
        library.scan(full=True)
        assert find_names(library, order=parse_sort_order("newest")) == ["new", "file", "old"]
        assert find_names(library, order=parse_sort_order("oldest")) == ["old", "file", "new"]


def test_pages_contain_each_model_once(many: IndexedFolder) -> None:
    """This holds in every order, by number and by cursor, with many equal sort keys."""
    keys, search = sort_keys(many), many.stores.search
    for order in ORDERS:
        expected = sorted(keys, key=lambda model_id: (keys[model_id][order.key], model_id), reverse=order.descending)
        pages = [search.find_page(all_models(order), limit=5, offset=offset) for offset in range(0, 25, 5)]
        assert [model_id for page in pages for model_id in page.ids] == expected
        assert [page.total for page in pages] == [23] * 5
        assert [page.next_cursor is not None for page in pages] == [True] * 4 + [False]
        assert list(itertools.chain.from_iterable(pages_by_cursor(many, order))) == expected
    assert search.find_page(all_models(BY_NAME), limit=5, offset=25).ids == []


def test_a_cursor_is_stable_while_models_come_and_go(many: IndexedFolder) -> None:
    """Models that exist all the time are neither repeated nor left out."""
    numbers = itertools.count(100)

    def change() -> None:
        add_model(many, next(numbers))
        min(many.folder.rglob("*.safetensors"), key=lambda path: int(path.parent.name)).unlink()
        many.scan()

    for order in (SortOrder(sort, sort.descending_by_default) for sort in SortKey):
        before = set(many.ids())
        listed = list(itertools.chain.from_iterable(pages_by_cursor(many, order, change)))
        assert len(listed) == len(set(listed))
        assert before & set(many.ids()) <= set(listed)


@pytest.mark.parametrize(
    "cursor",
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
def test_invalid_cursors_are_rejected(library: IndexedFolder, cursor: KeysetCursor) -> None:
    """These are cursors of another order and invented ones."""
    with pytest.raises(Invalid, match=r"cursor|not valid"):
        library.stores.search.find_page(all_models(parse_sort_order("newest")), limit=5, cursor=cursor)
    with pytest.raises(Invalid):
        library.stores.search.find_page(all_models(BY_NAME), limit=5, cursor=KeysetCursor("+name", "a\0", 1))
    assert (
        library.stores.search.find_page(all_models(BY_NAME), limit=5, cursor=KeysetCursor("+name", "", 2**31 - 1)).ids
        == []
    )


def test_names_of_any_length_can_be_sorted(library: IndexedFolder) -> None:
    """Sort keys, also of base models beside them, are cut to what an index holds, and cursors stay short."""
    for number in range(3):
        path = write_safetensors(library.folder / f"{number}.safetensors", data=bytes([number]))
        name = "".join(chr(0x20000 + (number * 7919 + place * place * 31) % 20_000) for place in range(2000))
        version = {"id": number + 1, "name": "v", "baseModel": name[::-1], "files": []}
        write_civitai_metadata(path, number + 1, name=name, modelVersions=[version])
    library.scan()
    with library.engine.connect() as connection:
        lengths = connection.execute(select(func.length(tables.models.c.base_model_key))).scalars()
        assert list(lengths) == [MAX_SORT_KEY_CHARS] * 3
    assert len(list(itertools.chain.from_iterable(pages_by_cursor(library, BY_NAME)))) == 3
    first = library.stores.search.find_page(all_models(BY_NAME), limit=1).next_cursor
    assert first
    assert len(first.encode()) < 2000
