"""Finds models: filters, full-text search, sort orders, pages by number and by keyset cursor."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, not_, or_, select, text, tuple_

from schemas.errors import Invalid
from schemas.library.content_rating import highest_level
from schemas.library.requests import MAX_ID
from schemas.library.search_query import Phrase, QueryTerm, SearchQuery, SortKey, SortOrder
from schemas.library.text_normalization import normalize
from schemas.paging import INVALID_CURSOR, MAX_DIGITS, KeysetCursor
from stores.library.index.read_model import ModelFlag
from stores.library.match_counts import count_matches
from stores.library.tables import models, tags
from stores.sql.database import Database

# One condition for all phrases: the full-text index intersects their matches itself.
FULL_TEXT_CONDITIONS = {
    "sqlite": "library_models.id IN (SELECT rowid FROM library_search WHERE library_search MATCH :{name})",
    "postgresql": "library_models.id IN (SELECT model_id FROM library_details "
    "WHERE to_tsvector('simple', search_text) @@ to_tsquery('simple', :{name}))",
}
# The columns behind filters by equality.
EQUALITY_COLUMNS: Mapping[str, Any] = {
    "category": models.c.category_key,
    "subcategory": models.c.subcategory_key,
    "base_model": models.c.base_model_key,
    "type": models.c.type_key,
}
_SORT_COLUMNS: Mapping[SortKey, Any] = {
    SortKey.NEWEST: models.c.newest_at,
    SortKey.OLDEST: models.c.newest_at,
    SortKey.NAME: models.c.name_key,
    SortKey.DOWNLOADS: models.c.downloads,
    SortKey.LIKES: models.c.likes,
    SortKey.SIZE: models.c.size_bytes,
}
# Nearly all models have files. The sum hides the column from the query planner, which would otherwise take this for the
# most selective condition and use the index on it instead of the one of the sort order.
_IS_LOCAL = models.c.files + 0 > 0
_SUBSTRING_COLUMNS = {"base": models.c.base_model_key, "creator": models.c.creator_key, "name": models.c.name_key}
_NUMBER_COLUMNS = {
    "dim": models.c.dim,
    "size": models.c.size_bytes,
    "downloads": models.c.downloads,
    "likes": models.c.likes,
}
_FLAGS = {
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


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """Which models: ``equal`` has names of EQUALITY_COLUMNS; ``tags_mode`` is ``any``, ``all`` or ``none``."""

    equal: Mapping[str, str]
    query: SearchQuery
    order: SortOrder
    tags: tuple[str, ...] = ()
    tags_mode: str = "any"
    max_nsfw: int | None = None
    has_metadata: bool | None = None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The ids of one page, the number of all matches, and the cursor of the next page.

    The number of very many is an estimate (``stores.library.match_counts``).
    """

    ids: list[int]
    total: int
    next_cursor: KeysetCursor | None
    total_is_estimate: bool = False


class ModelSearch:
    """Searches the read model of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_page(
        self, criteria: SearchFilter, *, limit: int, offset: int = 0, cursor: KeysetCursor | None = None
    ) -> SearchPage:
        """Return one page of models.

        With a cursor it is the page after that, whatever has been added or deleted since, and ``offset`` is ignored.
        """
        matches = self._matches(criteria)
        key, descending = _SORT_COLUMNS[criteria.order.key], criteria.order.descending
        query = matches.with_only_columns(models.c.id, key.label("key"))
        if cursor:
            query = query.where(_after(key, cursor, criteria.order))
        order = (key.desc(), models.c.id.desc()) if descending else (key, models.c.id)
        # One more than the page shows whether there is another one.
        query = query.order_by(*order).limit(limit + 1).offset(0 if cursor else offset)
        with self._database.read() as connection:
            estimated = self._matches(criteria, models.c.files > 0)
            total, is_estimate = count_matches(connection, matches, estimated)
            rows = connection.execute(query).all()
        page = rows[:limit]
        next_cursor = None
        if page and len(rows) > limit:
            next_cursor = KeysetCursor(_order_name(criteria.order), str(page[-1].key), page[-1].id)
        return SearchPage([row.id for row in page], total, next_cursor, total_is_estimate=is_estimate)

    def list_filter_values(self) -> dict[str, list[str]]:
        """Return the ``categories``, ``baseModels``, ``types`` and ``tags`` in use, the most frequent first.

        Values that are equal when normalized are listed once, in one of their spellings.
        """
        columns = {"categories": models.c.category, "baseModels": models.c.base_model, "types": models.c.type}
        with self._database.read() as connection:
            values = {}
            for name, column in columns.items():
                key = models.c[f"{column.name}_key"]
                query = select(func.min(column)).where(models.c.files > 0, key.is_not(None)).group_by(key)
                values[name] = list(connection.execute(query.order_by(func.count().desc(), key)).scalars())
            is_local = tags.c.model_id.in_(select(models.c.id).where(models.c.files > 0))
            query = select(func.min(tags.c.label)).where(is_local).group_by(tags.c.key)
            values["tags"] = list(connection.execute(query.order_by(func.count().desc(), tags.c.key)).scalars())
        return values

    def count_facets(self, criteria: SearchFilter, limit: int) -> dict[str, list[tuple[str, int]]]:
        """Return the most frequent values among the models that match, each with their number.

        The facets are ``category``, ``base_model``, ``type`` and ``tags``.
        """
        matches = self._matches(criteria)
        columns = {"category": models.c.category, "base_model": models.c.base_model, "type": models.c.type}
        facets = {}
        with self._database.read() as connection:
            for name, column in columns.items():
                key, count = models.c[f"{column.name}_key"], func.count()
                query = matches.with_only_columns(func.min(column), count).where(key.is_not(None)).group_by(key)
                rows = connection.execute(query.order_by(count.desc(), key).limit(limit))
                facets[name] = [(str(label), int(number)) for label, number in rows]
            count = func.count()
            query = select(func.min(tags.c.label), count).where(tags.c.model_id.in_(matches)).group_by(tags.c.key)
            rows = connection.execute(query.order_by(count.desc(), tags.c.key).limit(limit))
            facets["tags"] = [(str(label), int(number)) for label, number in rows]
        return facets

    def _matches(self, criteria: SearchFilter, is_local: ColumnElement[bool] = _IS_LOCAL) -> Select[Any]:
        phrases = {
            "words": [phrase for phrase in criteria.query.phrases if not phrase.negated],
            "no_words": [phrase for phrase in criteria.query.phrases if phrase.negated],
        }
        full_text = [self._full_text(name, group) for name, group in phrases.items() if group]
        return select(models.c.id).where(*_conditions(criteria, is_local), *full_text)

    def _full_text(self, name: str, phrases: Sequence[Phrase]) -> Any:
        """Match models that contain all of these phrases, or none if they are negated; ``name`` is the parameter."""
        if not all(phrase.words for phrase in phrases):
            return false()
        negated = phrases[0].negated
        dialect = self._database.dialect
        condition = FULL_TEXT_CONDITIONS[dialect].format(name=name)
        if dialect == "sqlite":
            terms, operator = map(_to_fts5, phrases), " OR " if negated else " AND "
        else:
            terms, operator = map(_to_tsquery, phrases), " | " if negated else " & "
        expression = operator.join(f"({term})" for term in terms)
        return text(f"NOT ({condition})" if negated else condition).bindparams(**{name: expression})


def _to_fts5(phrase: Phrase) -> str:
    """Convert to FTS5 syntax; the last word matches as a prefix."""
    *whole, last = (f'"{word}"' for word in phrase.words)
    return " + ".join([*whole, f"{last}*"])


def _to_tsquery(phrase: Phrase) -> str:
    """Convert to tsquery syntax; the last word matches as a prefix."""
    *whole, last = phrase.words
    return " <-> ".join([*whole, f"{last}:*"])


def _conditions(criteria: SearchFilter, is_local: ColumnElement[bool]) -> Iterator[ColumnElement[bool]]:
    if not any(term.field == "is" and term.value in ("missing", "local") for term in criteria.query.terms):
        yield is_local
    for name, value in criteria.equal.items():
        yield EQUALITY_COLUMNS[name] == normalize(value)
    if criteria.tags:
        yield _has_tags(criteria.tags, criteria.tags_mode)
    if criteria.max_nsfw is not None:
        yield models.c.nsfw_level < _next_level(criteria.max_nsfw)
    if criteria.has_metadata is not None:
        yield _has_flag(ModelFlag.METADATA) if criteria.has_metadata else not_(_has_flag(ModelFlag.METADATA))
    for term in criteria.query.terms:
        yield not_(_term_condition(term)) if term.negated else _term_condition(term)


def _order_name(order: SortOrder) -> str:
    return f"{'-' if order.descending else '+'}{order.key}"


def _after(key: Any, cursor: KeysetCursor, order: SortOrder) -> ColumnElement[bool]:
    """Match the rows after a cursor; raises Invalid for a cursor of another order or a forged one."""
    digits = cursor.key.removeprefix("-")
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS
    is_storable = 0 <= cursor.id <= MAX_ID and "\0" not in cursor.key
    by_name = order.key is SortKey.NAME
    if cursor.sort != _order_name(order) or not is_storable or not (is_number or by_name):
        raise Invalid(INVALID_CURSOR)
    position = (cursor.key if by_name else int(cursor.key), cursor.id)
    row = tuple_(key, models.c.id)
    condition: ColumnElement[bool] = row < position if order.descending else row > position
    return condition


def _next_level(mask: int) -> int:
    """Return the smallest mask with a higher level than the highest of ``mask``; 1 for 0, which is unrated."""
    return 2 * highest_level(mask) or 1


def _compare_level(op: str, mask: int) -> ColumnElement[bool]:
    """Compare masks by the highest level of each."""
    column, level, above = models.c.nsfw_level, highest_level(mask), _next_level(mask)
    conditions = {"<": column < level, "<=": column < above, ">": column >= above, ">=": column >= level}
    return conditions.get(op, and_(column >= level, column < above))


def _has_tags(labels: Sequence[str], mode: str) -> ColumnElement[bool]:
    each = [models.c.id.in_(select(tags.c.model_id).where(tags.c.key == normalize(label))) for label in labels]
    if mode == "all":
        return and_(*each)
    return not_(or_(*each)) if mode == "none" else or_(*each)


def _has_flag(flag: ModelFlag) -> ColumnElement[bool]:
    return models.c.flags.op("&")(int(flag)) != 0


def _term_condition(term: QueryTerm) -> ColumnElement[bool]:
    """Convert a term, regardless of its negation; never NULL, so that it can be negated."""
    if term.field in ("has", "is"):
        return _state_condition(str(term.value))
    if term.field == "tag":
        return _has_tags([str(term.value)], "any")
    if term.field in _SUBSTRING_COLUMNS:
        return func.coalesce(_SUBSTRING_COLUMNS[term.field], "").contains(str(term.value), autoescape=True)
    if term.field in _NUMBER_COLUMNS:
        # A model without this number matches no comparison, and every negated one.
        return func.coalesce(_NUMBER_COLUMNS[term.field].op(term.op, is_comparison=True)(term.value), false())
    if term.field == "nsfw":
        return _compare_level(term.op, int(term.value))
    equal: ColumnElement[bool] = func.coalesce(EQUALITY_COLUMNS[term.field], "") == term.value
    return equal


def _state_condition(word: str) -> ColumnElement[bool]:
    if word == "civitai":
        return models.c.civitai_id.is_not(None)
    if word in ("local", "missing"):
        return models.c.files > 0 if word == "local" else models.c.files == 0
    return _has_flag(_FLAGS[word])
