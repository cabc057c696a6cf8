"""The conditions of a search on the columns of the read model, or of a subquery that has the same columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, not_, or_, select, tuple_

from schemas.errors import Invalid
from schemas.library.content_rating import highest_level
from schemas.library.requests import MAX_ID
from schemas.library.search_query import QueryTerm, SortKey, SortOrder
from schemas.library.text_normalization import normalize
from schemas.paging import INVALID_CURSOR, MAX_DIGITS, KeysetCursor
from stores.library.index.read_model import ModelFlag
from stores.library.search.criteria import SearchFilter
from stores.library.tables import tags

# The columns behind filters by equality.
EQUALITY_COLUMNS: Mapping[str, str] = {
    "category": "category_key",
    "subcategory": "subcategory_key",
    "base_model": "base_model_key",
    "type": "type_key",
}
SORT_COLUMNS: Mapping[SortKey, str] = {
    SortKey.NEWEST: "newest_at",
    SortKey.OLDEST: "newest_at",
    SortKey.NAME: "name_key",
    SortKey.DOWNLOADS: "downloads",
    SortKey.LIKES: "likes",
    SortKey.SIZE: "size_bytes",
}
_SUBSTRING_COLUMNS = {"base": "base_model_key", "creator": "creator_key", "name": "name_key"}
_NUMBER_COLUMNS = {"dim": "dim", "size": "size_bytes", "downloads": "downloads", "likes": "likes"}
FLAGS = {
    "metadata": ModelFlag.METADATA,
    "notes": ModelFlag.NOTES,
    "images": ModelFlag.IMAGES,
    "words": ModelFlag.WORDS,
    "tags": ModelFlag.TAGS,
    "problem": ModelFlag.PROBLEM,
    "pickle": ModelFlag.PICKLE,
    "duplicate": ModelFlag.DUPLICATE,
    "hashed": ModelFlag.HASHED,
}


class Conditions:
    """The conditions of a search on the columns ``columns``.

    With ``one_by_one`` each model is looked at alone; otherwise the database may begin with the models of a tag.
    """

    def __init__(self, criteria: SearchFilter, columns: Any, *, one_by_one: bool) -> None:
        self._criteria = criteria
        self._columns = columns
        self._one_by_one = one_by_one

    def __iter__(self) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions, without those on words."""
        criteria, columns = self._criteria, self._columns
        if not criteria.names_local:
            # Nearly all models have files. The sum hides the column from the query planner, which would otherwise take
            # this for the most selective condition and use the index on it instead of the one of the sort order.
            yield columns.files + 0 > 0
        for name, value in criteria.equal.items():
            yield columns[EQUALITY_COLUMNS[name]] == normalize(value)
        if criteria.tags:
            yield self._has_tags(criteria.tags, criteria.tags_mode)
        if criteria.max_nsfw is not None:
            yield columns.nsfw_level < _next_level(criteria.max_nsfw)
        if criteria.has_metadata is not None:
            has_metadata = self._has_flag(ModelFlag.METADATA)
            yield has_metadata if criteria.has_metadata else not_(has_metadata)
        for term in criteria.query.terms:
            yield not_(self._term(term)) if term.negated else self._term(term)

    def _has_tags(self, labels: Sequence[str], mode: str) -> ColumnElement[bool]:
        each = [self._has_tag(normalize(label)) for label in labels]
        if mode == "all":
            return and_(*each)
        return not_(or_(*each)) if mode == "none" else or_(*each)

    def _has_tag(self, key: str) -> ColumnElement[bool]:
        if self._one_by_one:
            # A subquery for one value: the planner cannot turn it into a join.
            own = select(tags.c.key).where(tags.c.model_id == self._columns.id, tags.c.key == key)
            return own.scalar_subquery().is_not(None)
        condition: ColumnElement[bool] = self._columns.id.in_(select(tags.c.model_id).where(tags.c.key == key))
        return condition

    def _has_flag(self, flag: ModelFlag) -> ColumnElement[bool]:
        condition: ColumnElement[bool] = self._columns.flags.op("&")(int(flag)) != 0
        return condition

    def _term(self, term: QueryTerm) -> ColumnElement[bool]:
        """Convert a term, regardless of its negation; never NULL, so that it can be negated."""
        if term.field in ("has", "is"):
            return self._state(str(term.value))
        if term.field == "tag":
            return self._has_tag(str(term.value))
        if term.field in _SUBSTRING_COLUMNS:
            text = func.coalesce(self._columns[_SUBSTRING_COLUMNS[term.field]], "")
            return text.contains(str(term.value), autoescape=True)
        if term.field in _NUMBER_COLUMNS:
            # A model without this number matches no comparison, and every negated one.
            column = self._columns[_NUMBER_COLUMNS[term.field]]
            compared = column.op(term.op, is_comparison=True)(term.value)
            return func.coalesce(compared, false()) if term.negated else and_(column.is_not(None), compared)
        if term.field == "nsfw":
            return _compare_level(self._columns.nsfw_level, term.op, int(term.value))
        equal: ColumnElement[bool] = func.coalesce(self._columns[EQUALITY_COLUMNS[term.field]], "") == term.value
        return equal

    def _state(self, word: str) -> ColumnElement[bool]:
        condition: ColumnElement[bool]
        if word == "civitai":
            condition = self._columns.civitai_id.is_not(None)
        elif word in ("local", "missing"):
            condition = self._columns.files > 0 if word == "local" else self._columns.files == 0
        else:
            condition = self._has_flag(FLAGS[word])
        return condition


def order_columns(order: SortOrder, columns: Any) -> list[Any]:
    """Return what a list is sorted by."""
    key = columns[SORT_COLUMNS[order.key]]
    return [key.desc(), columns.id.desc()] if order.descending else [key, columns.id]


def order_name(order: SortOrder) -> str:
    """Return the name that cursors have for an order."""
    return f"{'-' if order.descending else '+'}{order.key}"


def after(cursor: KeysetCursor, order: SortOrder, columns: Any) -> ColumnElement[bool]:
    """Match the rows after a cursor; raises Invalid for a cursor of another order or a forged one."""
    digits = cursor.key.removeprefix("-")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS
    is_storable = 0 <= cursor.id <= MAX_ID and "\0" not in cursor.key
    by_name = order.key is SortKey.NAME
    if cursor.sort != order_name(order) or not is_storable or not (is_number or by_name):
        raise Invalid(INVALID_CURSOR)
    position = (cursor.key if by_name else int(cursor.key), cursor.id)
    row = tuple_(columns[SORT_COLUMNS[order.key]], columns.id)
    condition: ColumnElement[bool] = row < position if order.descending else row > position
    return condition


def _next_level(mask: int) -> int:
    """Return the smallest mask with a higher level than the highest of ``mask``; 1 for 0, which is unrated."""
    return 2 * highest_level(mask) or 1


def _compare_level(column: Any, op: str, mask: int) -> ColumnElement[bool]:
    """Compare masks by the highest level of each."""
    level, above = highest_level(mask), _next_level(mask)
    conditions = {"<": column < level, "<=": column < above, ">": column >= above, ">=": column >= level}
    condition: ColumnElement[bool] = conditions.get(op, and_(column >= level, column < above))
    return condition
