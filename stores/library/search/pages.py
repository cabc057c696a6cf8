"""Pages of models, and the numbers of those that match: which way a search takes.

A library of up to MAX_COUNTED models is searched as it is written down. In a larger one no search reads all models: a
random sample tells whether many of them match. If so, the page is read along the index of its order, and the numbers
are estimates. If not, the few that match are found by their values, and are counted up to MAX_COUNTED.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from schemas.library.search_query import SortOrder
from schemas.paging import KeysetCursor
from stores.library.search.conditions import SORT_COLUMNS, Conditions, after, order_columns, order_name
from stores.library.search.criteria import Facets, SearchFilter, SearchPage
from stores.library.search.facets import count_by_value, count_one_value, list_most_frequent, list_values_in_use
from stores.library.search.sample import Sample, round_estimate
from stores.library.search.terms import OWN_TERMS, by_index, in_index, is_by_one_index, words_in_sqlite, words_of_model
from stores.library.search_tables import SAMPLE_ORDER, TERMS_SAMPLE_ORDER, counts, terms
from stores.library.tables import models
from stores.sql.database import Database

# In a library with more models, more matches than these are estimated.
MAX_COUNTED = 10_000
# The facets of more matches are estimated from so many of them.
MAX_FACETED = 1_000
SAMPLE_SIZE = 2_000
# If so many models of the sample match, the page is read along the index of its order. Of fewer, but at least
# MIN_COMPARED, it depends on the estimated times of both ways.
MIN_SAMPLED, MIN_COMPARED = 14, 5
# What it takes to look at a model that an index of values has found, and at the next one along the order, in µs. Words
# are looked at last: where there are other conditions, of fewer models.
FOUND_COST, WALKED_COST, WALKED_COST_OF_WORDS, WALKED_COST_OF_BOTH = 9, 2, 4, 3
PAGE_MODELS = 50
# A page is looked for among so many times the models that should have it, and at most among MAX_WALKED: where that is
# less than MIN_WALK_MARGIN times as many, it would often not be found.
WALK_MARGIN, MIN_WALK_MARGIN = 5, 2
MAX_WALKED = 40_000
_FACET_COLUMNS = ("id", "category", "category_key", "base_model", "base_model_key", "type", "type_key")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the list the page is."""

    limit: int
    offset: int
    cursor: KeysetCursor | None


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
        place = _Place(limit, 0 if cursor else offset, cursor)
        with self._database.read() as connection:
            rows, total, is_estimate = _Search(connection, criteria).read_page(place)
        page = rows[:limit]
        next_cursor = None
        if page and len(rows) > limit:
            next_cursor = KeysetCursor(order_name(criteria.order), str(page[-1].key), page[-1].id)
        # The page itself shows that there are so many.
        total = max(total, place.offset + len(rows)) if is_estimate else total
        return SearchPage([row.id for row in page], total, next_cursor, total_is_estimate=is_estimate)

    def list_filter_values(self) -> dict[str, list[str]]:
        """Return the ``categories``, ``baseModels``, ``types`` and ``tags`` in use, the most frequent first.

        Values that are equal when normalized are listed once, in one of their spellings.
        """
        with self._database.read() as connection:
            return list_values_in_use(connection)

    def count_facets(self, criteria: SearchFilter, limit: int) -> Facets:
        """Return the most frequent values among the models that match, each with their number.

        The facets are ``category``, ``base_model``, ``type`` and ``tags``.
        """
        with self._database.read() as connection:
            return _Search(connection, criteria).count_facets(limit)


class _Search:
    """One search on one connection."""

    def __init__(self, connection: Connection, criteria: SearchFilter) -> None:
        self._connection = connection
        self._criteria = criteria
        self._is_postgresql = connection.dialect.name == "postgresql"
        size = connection.execute(select(counts.c.all_models, counts.c.models)).one()
        self._all_models = int(size.all_models)
        self._known_total = int(size.models) if criteria.is_empty else count_one_value(connection, criteria)
        # SQLite's full-text index cannot be asked about one model.
        can_look_at_one = self._is_postgresql or not criteria.query.phrases
        self._sample: Sample | None = None
        self._has_many = False
        if self._known_total is not None:
            self._sample = Sample(self._all_models, self._all_models, self._known_total)
        elif self._is_large and can_look_at_one:
            self._sample = self._take_sample()
        if self._is_large and self._sample is not None:
            self._has_many = self._is_faster_along_order(self._sample)

    @property
    def _is_large(self) -> bool:
        return self._all_models > MAX_COUNTED

    def _is_faster_along_order(self, sample: Sample) -> bool:
        """Whether so many models match that the page is found faster along its order, and the sample stands for all."""
        if sample.matching * SAMPLE_SIZE >= MIN_SAMPLED * sample.seen:
            return True
        if sample.matching < MIN_COMPARED or not self._is_postgresql:
            return False
        found = sample.matching if is_by_one_index(self._criteria) else self._count_found_in_sample(sample)
        query, cost = self._criteria.query, WALKED_COST
        if query.phrases:
            is_alone = not (query.terms or self._criteria.equal or self._criteria.tags)
            cost = WALKED_COST_OF_WORDS if is_alone else WALKED_COST_OF_BOTH
        return found * sample.models // sample.seen * FOUND_COST > sample.models_for(PAGE_MODELS) * cost

    def _count_found_in_sample(self, sample: Sample) -> int:
        """Return how many models of the sample the indexes of values would find."""
        among = self._among_sample(with_terms=True)
        numbers = [func.count().filter(each) for each in by_index(self._criteria, self._connection, among.c)]
        # Without an index all models are looked at.
        return sum(self._connection.execute(select(*numbers).select_from(among)).one()) if numbers else sample.seen

    def read_page(self, place: _Place) -> tuple[list[Any], int, bool]:
        """Return the page, with one model more if there is one, the number of matches, and whether it is an estimate.

        Of each model there is its id, and the ``key`` that it is sorted by.
        """
        if self._known_total is None and not self._has_many:
            found = self._find_few(place)
            if found is not None:
                return *found, False
        total, is_estimate = self._count()
        rows = self._walk(place) if self._has_many and not self._criteria.is_empty else []
        if len(rows) <= place.limit:
            query = _page_of(self._matches(self._sort_names), models.c, place, self._criteria.order)
            rows = list(self._connection.execute(query).all())
        return rows, total, is_estimate

    def _find_few(self, place: _Place) -> tuple[list[Any], int] | None:
        """Return the page and the number of matches, in one statement; None if there are more than MAX_COUNTED."""
        matches = self._matches(self._sort_names)
        if self._sample is not None:
            matches = matches.limit(MAX_COUNTED + 1)
        found = matches.cte("found")
        number = select(func.count()).select_from(found).scalar_subquery()
        page = _page_of(select(found.c.id), found.c, place, self._criteria.order)
        rows = list(self._connection.execute(page.add_columns(number.label("number"))).all())
        if not rows and (place.offset or place.cursor):
            return None
        total = int(rows[0].number) if rows else 0
        return (rows, total) if self._sample is None or total <= MAX_COUNTED else None

    def _count(self) -> tuple[int, bool]:
        """Return how many models match, and whether that is an estimate."""
        if self._known_total is not None:
            return self._known_total, False
        if self._has_many and self._sample is not None:
            return self._sample.total, True
        matches = self._matches()
        if self._sample is not None:
            matches = matches.limit(MAX_COUNTED + 1)
        number = int(self._connection.execute(select(func.count()).select_from(matches.subquery())).scalar_one())
        if self._sample is None or number <= MAX_COUNTED:
            return number, False
        return max(number, self._sample.total), True

    @property
    def _sort_names(self) -> tuple[str, ...]:
        return ("id", SORT_COLUMNS[self._criteria.order.key])

    def count_facets(self, limit: int) -> Facets:
        """Return the most frequent values among the models that match."""
        if self._criteria.is_empty:
            return Facets(list_most_frequent(self._connection, limit))
        if self._has_many:
            among = self._among_sample()
            columns = [among.c[name] for name in _FACET_COLUMNS]
            part = select(*columns).where(*self._one_by_one(among.c))
            values, _ = count_by_value(self._connection, part, limit)
            return _estimated(values, self._all_models / min(self._all_models, SAMPLE_SIZE))
        matches = self._matches(_FACET_COLUMNS)
        if not self._is_large:
            return Facets(count_by_value(self._connection, matches, limit)[0])
        # Their tags are the most expensive: of more models, those of some stand for all.
        most = min(MAX_FACETED, MAX_COUNTED)
        values, number = count_by_value(self._connection, matches.limit(MAX_COUNTED + 1), limit, most)
        if number <= most:
            return Facets(values)
        total = max(number, self._sample.total if self._sample is not None else 0) if number > MAX_COUNTED else number
        return _estimated(values, total / most)

    def _take_sample(self) -> Sample:
        among = self._among_sample()
        number = select(func.count()).select_from(among)
        matching = number.where(*self._one_by_one(among.c))
        return Sample(
            self._all_models,
            min(self._all_models, SAMPLE_SIZE),
            int(self._connection.execute(matching).scalar_one()),
        )

    def _among_sample(self, *, with_terms: bool = False) -> Any:
        sampled = select(models).order_by(SAMPLE_ORDER).limit(SAMPLE_SIZE).subquery()
        if not self._is_postgresql or not (with_terms or self._criteria.query.phrases):
            return sampled
        # In the same order, so that each model of the sample is among them.
        of_sampled = select(terms).order_by(TERMS_SAMPLE_ORDER).limit(SAMPLE_SIZE).subquery()
        joined = sampled.outerjoin(of_sampled, of_sampled.c.model_id == sampled.c.id)
        # The offset keeps the conditions out of the join: the planner would expect that a single model meets them, and
        # would compare each one with all terms.
        return select(*sampled.c, of_sampled.c.terms.label(OWN_TERMS)).select_from(joined).offset(0).subquery()

    def _walk(self, place: _Place) -> list[Any]:
        """Return the page if it is among the next models in the order of the list; else what there is of it."""
        order, sample = self._criteria.order, self._sample
        needed = sample.models_for(place.offset + place.limit + 1) if sample else 0
        if not 0 < needed * MIN_WALK_MARGIN <= MAX_WALKED:
            return []
        number = min(needed * WALK_MARGIN, MAX_WALKED)
        following = select(models).order_by(*order_columns(order, models.c)).limit(number)
        if place.cursor:
            following = following.where(after(place.cursor, order, models.c))
        among = following.subquery()
        matches = select(among.c.id).where(*self._one_by_one(among.c))
        query = _page_of(matches, among.c, _Place(place.limit, place.offset, None), order)
        return list(self._connection.execute(query).all())

    def _one_by_one(self, columns: Any) -> Iterator[ColumnElement[bool]]:
        """Yield conditions that look at each model alone."""
        yield from Conditions(self._criteria, columns, one_by_one=True)
        yield from words_of_model(self._criteria.query.phrases, columns)

    def _matches(self, names: tuple[str, ...] = ("id",)) -> Select[Any]:
        """Select all models that match, in the way in which the database finds few of them fastest."""
        phrases = self._criteria.query.phrases
        query = select(*(models.c[name] for name in names))
        query = query.where(*Conditions(self._criteria, models.c, one_by_one=self._is_postgresql))
        if not self._is_postgresql:
            return query.where(*words_in_sqlite(phrases, models.c))
        query = query.where(*in_index(self._criteria, self._connection, models.c))
        return query.where(*words_of_model([phrase for phrase in phrases if phrase.negated], models.c))


def _page_of(matches: Select[Any], columns: Any, place: _Place, order: SortOrder) -> Select[Any]:
    """Select the id and the ``key`` that it is sorted by of the models of a page, and of one model more."""
    query = matches.with_only_columns(columns.id, columns[SORT_COLUMNS[order.key]].label("key"))
    if place.cursor:
        query = query.where(after(place.cursor, order, columns))
    return query.order_by(*order_columns(order, columns)).limit(place.limit + 1).offset(place.offset)


def _estimated(counted: Mapping[str, list[tuple[str, int]]], factor: float) -> Facets:
    """Return the values of a part of the matches with their estimated numbers among all of them."""
    values = {
        name: [(label, round_estimate(number * factor)) for label, number in each] for name, each in counted.items()
    }
    return Facets(values, are_estimates=True)
