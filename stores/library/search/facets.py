"""How many models have a value: kept by triggers for all models on disk, and counted for those of a search."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Select, any_, func, literal, select, union_all

from schemas.library.text_normalization import normalize
from stores.library.search.criteria import SearchFilter
from stores.library.search_tables import MAX_KEY_CHARS, SAMPLE_ORDER, facets
from stores.library.tables import tags

LISTED_NAMES: Mapping[str, str] = {
    "category": "categories",
    "base_model": "baseModels",
    "type": "types",
    "tags": "tags",
}
_NUMBER = func.sum(facets.c.number)
_VALUES_IN_USE = (
    select(facets.c.kind, facets.c.key, func.min(facets.c.label).label("label"), _NUMBER.label("number"))
    .where(facets.c.number > 0)
    .group_by(facets.c.kind, facets.c.key)
)


def list_values_in_use(connection: Connection) -> dict[str, list[str]]:
    """Return all values of models on disk by their names in the API, the most frequent first."""
    values: dict[str, list[str]] = {name: [] for name in LISTED_NAMES.values()}
    for row in connection.execute(_VALUES_IN_USE.order_by(_NUMBER.desc(), facets.c.key)):
        values[LISTED_NAMES[row.kind]].append(row.label)
    return values


def list_most_frequent(connection: Connection, limit: int) -> dict[str, list[tuple[str, int]]]:
    """Return the most frequent values of models on disk, each with their number."""
    return {
        kind: [
            (row.label, int(row.number))
            for row in connection.execute(
                _VALUES_IN_USE.where(facets.c.kind == kind).order_by(_NUMBER.desc(), facets.c.key).limit(limit)
            )
        ]
        for kind in LISTED_NAMES
    }


def count_one_value(connection: Connection, criteria: SearchFilter) -> int | None:
    """Return how many models a search finds that asks for one counted value alone; None for other searches."""
    asked = [(kind, value) for kind, value in criteria.equal.items() if kind in LISTED_NAMES]
    asked += [("tags", tag) for tag in criteria.tags if criteria.tags_mode != "none"]
    if len(asked) != 1 or len(criteria.equal) + len(criteria.tags) != 1 or not criteria.is_by_value_alone:
        return None
    kind, key = asked[0][0], normalize(asked[0][1])
    if not 0 < len(key) < MAX_KEY_CHARS:
        return None
    query = select(func.coalesce(_NUMBER, 0)).where(facets.c.kind == kind, facets.c.key == key)
    return int(connection.execute(query).scalar_one())


def count_by_value(
    connection: Connection, matches: Select[Any], limit: int, most: int | None = None
) -> tuple[dict[str, list[tuple[str, int]]], int]:
    """Return the most frequent values of some models, each with their number, and how many models there are.

    ``matches`` selects ``id`` and, for each value but the tags, the value and its key. Only ``most`` of them are looked
    at, the first in the order of the sample. They are random among ``matches``, which a caller may have cut before.
    """
    found = matches.cte("found")
    chosen = found
    if most is not None:
        chosen = select(found).order_by(SAMPLE_ORDER).limit(most).cte("chosen")
    total = select(literal("total").label("kind"), literal("").label("key"), literal("").label("label"), _count())
    queries = [total.select_from(found)]
    for kind in ("category", "base_model", "type"):
        key, label = chosen.c[f"{kind}_key"], chosen.c[kind]
        query = select(literal(kind).label("kind"), key.label("key"), func.min(label).label("label"), _count())
        queries.append(query.where(key.is_not(None)).group_by(key))
    label = func.min(tags.c.label).label("label")
    query = select(literal("tags").label("kind"), tags.c.key, label, _count())
    ids = select(chosen.c.id)
    if connection.dialect.name == "postgresql":
        # The planner would rather read the tags of all models.
        is_chosen = tags.c.model_id == any_(func.array(ids.scalar_subquery()))
    else:
        is_chosen = tags.c.model_id.in_(ids)
    queries.append(query.where(is_chosen).group_by(tags.c.key))
    [of_all, *rows] = sorted(connection.execute(union_all(*queries)), key=lambda row: row.kind != "total")
    return _most_frequent(rows, limit), int(of_all.number)


def _count() -> Any:
    return func.count().label("number")


def _most_frequent(rows: Iterable[Any], limit: int) -> dict[str, list[tuple[str, int]]]:
    by_kind = defaultdict(list)
    for row in rows:
        by_kind[row.kind].append((-row.number, row.key, row.label))
    return {kind: [(label, -number) for number, _, label in sorted(by_kind[kind])[:limit]] for kind in LISTED_NAMES}
