"""Full-text conditions, and on PostgreSQL the values of models that its full-text index has as well.

A value is a term that begins with an equals sign, which no word has, and a letter: ``=c`` category, ``=s`` subcategory,
``=b`` base model, ``=t`` type, ``=a`` creator, ``=g`` tag, ``=n`` the number of bits of the NSFW level, ``=d`` the rank
(``dim``), ``=h`` a flag, ``=p`` a pair of words (``stores.library.search.phrases``).
The trigger ``library_search_write_terms`` writes them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    any_,
    cast,
    false,
    func,
    literal_column,
    not_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from schemas.library.content_rating import highest_level
from schemas.library.search_query import Phrase, QueryTerm
from schemas.library.text_normalization import normalize
from stores.library.search.conditions import FLAGS
from stores.library.search.criteria import SearchFilter
from stores.library.search.phrases import find_terms
from stores.library.search_tables import facets, terms, words
from stores.library.tables import models

EQUALITY_LETTERS: Mapping[str, str] = {"category": "c", "subcategory": "s", "base_model": "b", "type": "t"}
MAX_TERM_CHARS = 200
# The column has 32 bits.
MAX_LEVEL_BITS = 32
# More base models than that are no selective condition.
MAX_ALTERNATIVES = 200
# Parts of these columns are found by the three-character parts that they consist of.
TRIGRAM_COLUMNS: Mapping[str, str] = {"name": "name_key", "creator": "creator_key"}
TRIGRAM_CHARS = 3
INDEXED_FIELDS = {*EQUALITY_LETTERS, "tag", "nsfw", "has", "base"}
# The column of a subquery that has the terms of its models.
OWN_TERMS = "own_terms"
SIMPLE: ColumnElement[str] = literal_column("'simple'::regconfig")


def words_in_sqlite(phrases: Sequence[Phrase], columns: Any) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that a model of ``columns`` has all phrases and none of the negated ones."""
    for negated in (False, True):
        group = [phrase for phrase in phrases if phrase.negated is negated]
        if not all(phrase.words for phrase in group):
            yield false()
        elif group:
            expression = (" OR " if negated else " AND ").join(f"({_to_fts5(phrase)})" for phrase in group)
            found = select(words.c.rowid).where(literal_column("library_search").bool_op("MATCH")(expression))
            yield columns.id.not_in(found) if negated else columns.id.in_(found)


def words_of_model(phrases: Sequence[Phrase], columns: Any) -> Iterator[ColumnElement[bool]]:
    """Yield the same conditions for PostgreSQL, to be checked model by model."""
    own = _terms_of(columns)
    for query, negated in _word_queries(phrases):
        if query is None:
            yield false()
        else:
            yield func.coalesce(not_(_match(own, query)), true()) if negated else _match(own, query)


def in_index(criteria: SearchFilter, connection: Connection, columns: Any) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that PostgreSQL's indexes answer: words, values, and parts of names.

    They follow from the criteria, but are not all of them: nothing is yielded where no index can help.
    """
    phrases = [phrase for phrase in criteria.query.phrases if not phrase.negated]
    found = find_terms(phrases, connection)
    conditions: list[ColumnElement[bool]] = []
    of_words = [_join([_literal(term) for term in each], "|") for each in found.alternatives if each]
    if text := " & ".join([*_list_terms(criteria, connection), *of_words]):
        conditions.append(_match(terms.c.terms, cast(text, TSQUERY)))
    conditions += [
        false() if query is None else _match(terms.c.terms, query) for query, _ in _word_queries(found.others)
    ]
    # The function of the operator, for which no index is used.
    conditions += [func.ts_match_vq(terms.c.terms, query) for query, _ in _word_queries(found.checked)]
    if not all(found.alternatives):
        conditions.append(false())
    if conditions:
        yield _is_one_of(columns.id, select(terms.c.model_id).where(*conditions))
    if names := _names_in_index(criteria, models.c):
        by_trigrams = [
            func.library_search_trigrams(models.c[name]).bool_op("@>")(func.library_search_trigrams(value))
            for name, value in _indexed_parts(criteria)
        ]
        yield _is_one_of(columns.id, select(models.c.id).where(*by_trigrams, *names))


def by_index(criteria: SearchFilter, connection: Connection, columns: Any) -> list[ColumnElement[bool]]:
    """Return for each index what ``in_index`` asks it for, to be checked model by model."""
    of_terms = list(words_of_model([phrase for phrase in criteria.query.phrases if not phrase.negated], columns))
    if text := " & ".join(_list_terms(criteria, connection)):
        of_terms.append(_match(_terms_of(columns), cast(text, TSQUERY)))
    return [and_(*conditions) for conditions in (of_terms, _names_in_index(criteria, columns)) if conditions]


def is_by_one_index(criteria: SearchFilter) -> bool:
    """Whether one index finds exactly the models that match."""
    terms_asked = criteria.query.terms
    is_indexed = criteria.tags_mode != "none" and criteria.has_metadata is not False
    is_indexed = is_indexed and not any(phrase.negated for phrase in criteria.query.phrases)
    return is_indexed and all(_is_indexed(term) for term in terms_asked)


def _is_indexed(term: QueryTerm) -> bool:
    return _is_one_rank(term) or (not term.negated and term.field in INDEXED_FIELDS)


def _is_one_rank(term: QueryTerm) -> bool:
    """Whether a term asks for one rank: a range is many terms, of which the index makes the union first."""
    return term.field == "dim" and term.op == "=" and not term.negated


def _indexed_parts(criteria: SearchFilter) -> Iterator[tuple[str, str]]:
    """Yield the columns and the parts of their values that the index of three-character parts finds."""
    for term in criteria.query.terms:
        name, value = TRIGRAM_COLUMNS.get(term.field), str(term.value)
        if name and not term.negated and len(value) >= TRIGRAM_CHARS:
            yield name, value


def _names_in_index(criteria: SearchFilter, columns: Any) -> list[ColumnElement[bool]]:
    return [columns[name].contains(value, autoescape=True) for name, value in _indexed_parts(criteria)]


def _terms_of(columns: Any) -> ColumnElement[Any]:
    if OWN_TERMS in columns:
        own: ColumnElement[Any] = columns[OWN_TERMS]
        return own
    # A subquery for one value: the planner cannot turn it into a join.
    return select(terms.c.terms).where(terms.c.model_id == columns.id).scalar_subquery()


def _is_one_of(column: Any, ids: Select[Any]) -> ColumnElement[bool]:
    """Match the ids that a query selects. It runs first, and only once, whatever the planner expects of it."""
    condition: ColumnElement[bool] = column == any_(func.array(ids.scalar_subquery()))
    return condition


def _list_terms(criteria: SearchFilter, connection: Connection) -> list[str]:
    """Return what each model that matches has, in the syntax of tsquery."""
    found = list(_terms_of_values(criteria, connection))
    ranks = [_quote("d", str(term.value)) for term in criteria.query.terms if _is_one_rank(term)]
    # Many models have the same rank, so alone it is left to the indexes of the table.
    has_others = found or any(not phrase.negated for phrase in criteria.query.phrases)
    return found + ranks if has_others else []


def _terms_of_values(criteria: SearchFilter, connection: Connection) -> Iterator[str]:
    for name, value in criteria.equal.items():
        yield from _equal(name, normalize(value))
    if criteria.tags and criteria.tags_mode != "none":
        yield _join([_quote("g", normalize(tag)) for tag in criteria.tags], "&" if criteria.tags_mode == "all" else "|")
    if criteria.max_nsfw is not None:
        yield _levels("<=", criteria.max_nsfw)
    if criteria.has_metadata:
        yield _flag("metadata")
    for term in criteria.query.terms:
        if not term.negated:
            yield from _of_term(term, connection, names_local=criteria.names_local)


def _of_term(term: QueryTerm, connection: Connection, *, names_local: bool) -> Iterator[str]:
    value = str(term.value)
    if term.field in EQUALITY_LETTERS:
        yield from _equal(term.field, value)
    elif term.field == "tag":
        yield _quote("g", value)
    elif term.field == "nsfw":
        yield _levels(term.op, int(term.value))
    elif term.field in ("has", "is") and value not in ("local", "missing"):
        yield _flag(value)
    # Only values of models on disk are listed.
    elif term.field == "base" and not names_local:
        contains = facets.c.key.contains(value, autoescape=True)
        query = select(facets.c.key).where(facets.c.kind == "base_model", facets.c.number > 0, contains).distinct()
        keys = list(connection.execute(query.limit(MAX_ALTERNATIVES + 1)).scalars())
        if len(keys) <= MAX_ALTERNATIVES:
            # Without a key no model matches, and none has an empty one.
            yield _join([_quote("b", key) for key in keys or [""]], "|")


def _flag(name: str) -> str:
    return _quote("h", "civitai" if name == "civitai" else str(FLAGS[name].bit_length() - 1))


def _levels(op: str, mask: int) -> str:
    """Return the numbers of bits of the levels that compare so with the highest level of a mask."""
    bits = highest_level(mask).bit_length()
    ranges = {
        "<": range(bits),
        "<=": range(bits + 1),
        ">": range(bits + 1, MAX_LEVEL_BITS),
        ">=": range(bits, MAX_LEVEL_BITS),
    }
    numbers = ranges.get(op, range(bits, bits + 1))
    return _join([_quote("n", str(number)) for number in numbers] or [_quote("n", "none")], "|")


def _match(column: Any, query: Any) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = column.bool_op("@@")(query)
    return condition


def _equal(name: str, value: str) -> Iterator[str]:
    # An empty text also matches models without a value.
    if value:
        yield _quote(EQUALITY_LETTERS[name], value)


def _join(queries: Sequence[str], operator: str) -> str:
    return f"({f' {operator} '.join(queries)})"


def _quote(letter: str, value: str) -> str:
    """Return a term in the syntax of tsquery."""
    return _literal(f"={letter}{value[:MAX_TERM_CHARS]}")


def _literal(term: str) -> str:
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _word_queries(phrases: Sequence[Phrase]) -> Iterator[tuple[Any, bool]]:
    """Yield the query of the phrases, and that of the negated ones; None for what no text has."""
    for negated in (False, True):
        group = [phrase for phrase in phrases if phrase.negated is negated]
        if not all(phrase.words for phrase in group):
            yield None, negated
        elif group:
            text = (" | " if negated else " & ").join(f"({_to_tsquery(phrase)})" for phrase in group)
            yield func.to_tsquery(SIMPLE, text), negated


def _to_fts5(phrase: Phrase) -> str:
    """Convert to FTS5 syntax; the last word matches as a prefix."""
    *whole, last = (f'"{word}"' for word in phrase.words)
    return " + ".join([*whole, f"{last}*"])


def _to_tsquery(phrase: Phrase) -> str:
    """Convert to tsquery syntax; the last word matches as a prefix."""
    *whole, last = phrase.words
    return " <-> ".join([*whole, f"{last}:*"])
