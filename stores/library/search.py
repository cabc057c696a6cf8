"""The finding of models: filters, words, orders, pages by number and by cursor, and what there is to filter by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, false, func, not_, or_, select, text, tuple_

from schemas.errors import Invalid
from schemas.library.content_rating import highest_level
from schemas.library.requests import MAX_ID
from schemas.library.search_query import Phrase, QueryTerm, SearchQuery, SortKey, SortOrder
from schemas.library.text_normalization import normalize
from schemas.paging import INVALID_CURSOR, MAX_DIGITS, KeysetCursor
from stores.library.index.read_model import ModelFlag
from stores.library.tables import models, tags
from stores.sql.errors import sql_errors

# One question for all words: the index itself joins what it finds for each.
FULL_TEXT_CONDITIONS = {
    "sqlite": "library_models.id IN (SELECT rowid FROM library_search WHERE library_search MATCH :{name})",
    "postgresql": "library_models.id IN (SELECT model_id FROM library_details "
    "WHERE to_tsvector('simple', search_text) @@ to_tsquery('simple', :{name}))",
}
# Columns behind what may be filtered by equality.
EQUALITY_COLUMNS: Mapping[str, Any] = {
    "category": models.c.category_key,
    "subcategory": models.c.subcategory_key,
    "base_model": models.c.base_model_key,
    "type": models.c.type_key,
}
_SORTS: Mapping[SortKey, Any] = {
    SortKey.NEWEST: models.c.newest_at,
    SortKey.OLDEST: models.c.newest_at,
    SortKey.NAME: models.c.name_key,
    SortKey.DOWNLOADS: models.c.downloads,
    SortKey.LIKES: models.c.likes,
    SortKey.SIZE: models.c.size_bytes,
}
# Nearly all models are here: as a sum it is looked at on the way, and not taken by a planner for what narrows most.
_HERE = models.c.files + 0 > 0
_CONTAINING = {"base": models.c.base_model_key, "creator": models.c.creator_key, "name": models.c.name_key}
_NUMBERS = {
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
    """Which models: ``equal`` by the names of ``EQUAL``; ``tags_mode`` is ``any``, ``all`` or ``none``."""

    equal: Mapping[str, str]
    query: SearchQuery
    order: SortOrder
    tags: tuple[str, ...] = ()
    tags_mode: str = "any"
    max_nsfw: int | None = None
    has_metadata: bool | None = None


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The ids of one page, how many there are in all, and where the next one begins."""

    ids: list[int]
    total: int
    next_cursor: KeysetCursor | None


class ModelSearch:
    """The models in one database."""

    def __init__(self, engine: Engine) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._dialect = engine.dialect.name

    def find_page(
        self, criteria: SearchFilter, *, limit: int, offset: int = 0, cursor: KeysetCursor | None = None
    ) -> SearchPage:
        """One page of the models; with a cursor those that come after it, whatever has come or gone meanwhile."""
        narrowed = self._narrowed(criteria)
        key, descending = _SORTS[criteria.order.key], criteria.order.descending
        query = narrowed.with_only_columns(models.c.id, key.label("key"))
        if cursor:
            query = query.where(_after(key, cursor, criteria.order))
        order = (key.desc(), models.c.id.desc()) if descending else (key, models.c.id)
        query = query.order_by(*order).limit(limit + 1).offset(0 if cursor else offset)
        with sql_errors(), self._engine.connect() as connection:
            total = connection.execute(narrowed.with_only_columns(func.count())).scalar_one()
            rows = connection.execute(query).all()
        kept = rows[:limit]
        more = len(rows) > limit and bool(kept)
        following = KeysetCursor(_named(criteria.order), str(kept[-1].key), kept[-1].id) if more else None
        return SearchPage([row.id for row in kept], int(total), following)

    def list_filter_values(self) -> dict[str, list[str]]:
        """What there is to filter by: ``categories``, ``baseModels``, ``types``, ``tags``, the most frequent first."""
        shown = {"categories": models.c.category, "baseModels": models.c.base_model, "types": models.c.type}
        with sql_errors(), self._engine.connect() as connection:
            found = {}
            for name, column in shown.items():
                # By how they are compared: whoever filters by one spelling finds the others.
                key = models.c[f"{column.name}_key"]
                query = select(func.min(column)).where(models.c.files > 0, key.is_not(None)).group_by(key)
                found[name] = list(connection.execute(query.order_by(func.count().desc(), key)).scalars())
            here = tags.c.model_id.in_(select(models.c.id).where(models.c.files > 0))
            query = select(func.min(tags.c.label)).where(here).group_by(tags.c.key)
            found["tags"] = list(connection.execute(query.order_by(func.count().desc(), tags.c.key)).scalars())
        return found

    def _narrowed(self, wanted: SearchFilter) -> Select[Any]:
        asked = wanted.query.phrases
        wordings = {
            "words": [one for one in asked if not one.negated],
            "no_words": [one for one in asked if one.negated],
        }
        said = [self._words(name, found) for name, found in wordings.items() if found]
        return select(models.c.id).where(*self._conditions(wanted), *said)

    def _conditions(self, wanted: SearchFilter) -> Iterator[ColumnElement[bool]]:
        if not any(term.field == "is" and term.value in ("missing", "local") for term in wanted.query.terms):
            yield _HERE
        for name, value in wanted.equal.items():
            yield EQUALITY_COLUMNS[name] == normalize(value)
        if wanted.tags:
            yield _tagged(wanted.tags, wanted.tags_mode)
        if wanted.max_nsfw is not None:
            yield models.c.nsfw_level < _above(wanted.max_nsfw)
        if wanted.has_metadata is not None:
            yield _flagged(ModelFlag.METADATA) if wanted.has_metadata else not_(_flagged(ModelFlag.METADATA))
        for term in wanted.query.terms:
            yield _negated(_condition(term), negated=term.negated)

    def _words(self, name: str, said: Sequence[Phrase]) -> Any:
        """All of these words, or none of them."""
        if not all(one.words for one in said):
            return false()
        negated = said[0].negated
        found = FULL_TEXT_CONDITIONS[self._dialect].format(name=name)
        sqlite = self._dialect == "sqlite"
        joined = (" OR " if negated else " AND ") if sqlite else (" | " if negated else " & ")
        question = joined.join(f"({_in_fts5(one) if sqlite else _in_tsquery(one)})" for one in said)
        return text(f"NOT ({found})" if negated else found).bindparams(**{name: question})


def _in_fts5(said: Phrase) -> str:
    *whole, last = (f'"{word}"' for word in said.words)
    return " + ".join([*whole, f"{last}*"])


def _in_tsquery(said: Phrase) -> str:
    *whole, last = said.words
    return " <-> ".join([*whole, f"{last}:*"])


def _named(order: SortOrder) -> str:
    return f"{'-' if order.descending else '+'}{order.key}"


def _after(key: Any, cursor: KeysetCursor, order: SortOrder) -> ColumnElement[bool]:
    """What comes after a mark; raises Invalid if it is one of another order."""
    number = cursor.key.removeprefix("-")
    of_number = number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS
    known = 0 <= cursor.id <= MAX_ID and "\0" not in cursor.key
    if cursor.sort != _named(order) or not known or not (of_number or order.key is SortKey.NAME):
        raise Invalid(INVALID_CURSOR)
    place = (cursor.key if order.key is SortKey.NAME else int(cursor.key), cursor.id)
    here = tuple_(key, models.c.id)
    after: ColumnElement[bool] = here < place if order.descending else here > place
    return after


def _above(most: int) -> int:
    """The first mask whose highest level is above the highest of ``most``; with 0 only what is unrated is below it."""
    return 2 * highest_level(most) or 1


def _of_level(op: str, most: int) -> ColumnElement[bool]:
    """Masks are compared by the highest level of each."""
    level, here, above = models.c.nsfw_level, highest_level(most), _above(most)
    conditions = {"<": level < here, "<=": level < above, ">": level >= above, ">=": level >= here}
    return conditions.get(op, and_(level >= here, level < above))


def _tagged(labels: Sequence[str], mode: str) -> ColumnElement[bool]:
    each = [models.c.id.in_(select(tags.c.model_id).where(tags.c.key == normalize(label))) for label in labels]
    if mode == "all":
        return and_(*each)
    return not_(or_(*each)) if mode == "none" else or_(*each)


def _flagged(flag: ModelFlag) -> ColumnElement[bool]:
    return models.c.flags.op("&")(int(flag)) != 0


def _condition(term: QueryTerm) -> ColumnElement[bool]:
    if term.field in ("has", "is"):
        return _state(str(term.value))
    if term.field == "tag":
        return _tagged([str(term.value)], "any")
    if term.field in _CONTAINING:
        return func.coalesce(_CONTAINING[term.field], "").contains(str(term.value), autoescape=True)
    if term.field in _NUMBERS:
        # What has no such number is neither above nor below any.
        return func.coalesce(_NUMBERS[term.field].op(term.op, is_comparison=True)(term.value), false())
    if term.field == "nsfw":
        return _of_level(term.op, int(term.value))
    same: ColumnElement[bool] = func.coalesce(EQUALITY_COLUMNS[term.field], "") == term.value
    return same


def _state(word: str) -> ColumnElement[bool]:
    if word == "civitai":
        return models.c.civitai_id.is_not(None)
    if word in ("local", "missing"):
        return models.c.files > 0 if word == "local" else models.c.files == 0
    return _flagged(_FLAGS[word])


def _negated(condition: Any, *, negated: bool) -> Any:
    return not_(condition) if negated else condition
