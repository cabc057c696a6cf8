"""Parses the library's query language: words and filters, such as ``base:sdxl -tag:style dim:>=32``.

``docs/library.md`` describes it for users.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from schemas.errors import Invalid
from schemas.library.text_normalization import normalize, split_words

MAX_QUERY_CHARS = 500
MAX_TERMS = 40
# The largest numbers that the columns can be compared with; larger operands are clamped.
MAX_NUMBER, MAX_INT32 = 2**53, 2**31 - 1
MAX_QUOTED_CHARS = 40


class SortKey(StrEnum):
    """The property that models are sorted by."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    DOWNLOADS = "downloads"
    LIKES = "likes"
    SIZE = "size"

    @property
    def descending_by_default(self) -> bool:
        """Whether the largest comes first unless the query says otherwise."""
        return self not in (SortKey.NAME, SortKey.OLDEST)


@dataclass(frozen=True, slots=True)
class SortOrder:
    """A sort key and its direction."""

    key: SortKey
    descending: bool


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """A filter: ``field`` is a key of ``FILTERS``, ``op`` one of ``= ~ < <= > >=``, where ``~`` means "contains"."""

    field: str
    op: str
    value: str | int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that follow one another in a model's texts; the last word is a prefix. Without words it matches nothing."""

    words: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A parsed query: the conjunction of its terms and phrases. ``order`` is None if the query names none."""

    terms: tuple[QueryTerm, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    order: SortOrder | None = None


# A filter's reader: takes the filter's name and its text, returns the operator and the operand.
ValueReader = Callable[[str, str], tuple[str, str | int]]

HAS_VALUES = ("metadata", "notes", "images", "words", "tags", "civitai", "problem")
IS_VALUES = ("local", "missing", "pickle", "duplicate", "hashed")
SIZE_UNITS: Mapping[str, int] = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PART = re.compile(r'(-?)(?:([A-Za-z]+):)?(?:"([^"]*)"|(\S+))')
_NUMBER = re.compile(r"(<=|>=|<|>|=)?(\d{1,15}(?:\.\d{1,6})?)([a-z]{0,3})", re.IGNORECASE)


def _text(op: str) -> ValueReader:
    return lambda _name, value: (op, normalize(value))


def _number(name: str, value: str) -> tuple[str, str | int]:
    match = _NUMBER.fullmatch(value)
    unit = match[3].lower() if match else "?"
    if match is None or unit not in SIZE_UNITS or (unit and name != "size"):
        raise Invalid(problems=[f"search: {name}:{value[:MAX_QUOTED_CHARS]} must be a number, such as {name}:>=32."])
    maximum = MAX_INT32 if name in ("dim", "nsfw") else MAX_NUMBER
    return match[1] or "=", min(maximum, round(float(match[2]) * SIZE_UNITS[unit]))


def _one_of(allowed: tuple[str, ...]) -> ValueReader:
    def read(name: str, value: str) -> tuple[str, str | int]:
        if value.lower() not in allowed:
            raise Invalid(problems=[f"search: {name}:{value[:MAX_QUOTED_CHARS]} must be one of {', '.join(allowed)}."])
        return "=", value.lower()

    return read


# An unknown filter is searched for as words.
FILTERS: Mapping[str, ValueReader] = {
    "base": _text("~"),
    "type": _text("="),
    "category": _text("="),
    "subcategory": _text("="),
    "creator": _text("~"),
    "name": _text("~"),
    "tag": _text("="),
    "has": _one_of(HAS_VALUES),
    "is": _one_of(IS_VALUES),
    "dim": _number,
    "size": _number,
    "nsfw": _number,
    "downloads": _number,
    "likes": _number,
}
ALIASES: Mapping[str, str] = {"basemodel": "base", "folder": "subcategory", "tags": "tag", "sort": "order"}


def parse_query(text: str) -> SearchQuery:
    """Parse a query.

    Raises:
        Invalid: the query is too long, or a filter has an invalid value.
    """
    if len(text) > MAX_QUERY_CHARS:
        raise Invalid(problems=[f"search: at most {MAX_QUERY_CHARS} characters."])
    parts = list(_split(_CONTROL.sub(" ", text)))
    if len(parts) > MAX_TERMS:
        raise Invalid(problems=[f"search: at most {MAX_TERMS} words and filters."])
    orders = [part for part in parts if isinstance(part, SortOrder)]
    terms = tuple(part for part in parts if isinstance(part, QueryTerm))
    phrases = [part for part in parts if isinstance(part, Phrase)]
    # Punctuation between words is ignored; punctuation alone matches nothing, rather than everything.
    with_words = tuple(phrase for phrase in phrases if phrase.words)
    return SearchQuery(
        terms=terms,
        phrases=with_words if with_words or terms else tuple(phrases[:1]),
        order=orders[-1] if orders else None,
    )


def _split(text: str) -> Iterator[QueryTerm | Phrase | SortOrder]:
    for match in _PART.finditer(text):
        minus, field, quoted, bare = match.groups()
        value = bare if quoted is None else quoted
        name = ALIASES.get((field or "").lower(), (field or "").lower())
        op, operand = FILTERS[name](name, value) if name in FILTERS and value else ("", "")
        if name == "order":
            yield parse_sort_order(value)
        # An accent alone normalizes to nothing, which every text would contain.
        elif operand != "":
            yield QueryTerm(name, op, operand, bool(minus))
        else:
            yield from _to_phrase(match[0].removeprefix("-") if field else value, negated=bool(minus))


def _to_phrase(text: str, *, negated: bool) -> Iterator[Phrase]:
    words = split_words(text)
    # A lone minus or quotation mark is the start of something the user is still typing.
    if words or (text.strip('-" ') and not negated):
        yield Phrase(tuple(words), negated)


def parse_sort_order(text: str) -> SortOrder:
    """Parse ``size`` (default direction), ``-size`` (largest first) or ``+size`` (smallest first); raises Invalid."""
    sign = text[:1] if text[:1] in ("+", "-") else ""
    name = text.lower().removeprefix(sign)
    if name not in list(SortKey):
        raise Invalid(problems=[f"sort: {text[:MAX_QUOTED_CHARS]!r} must be one of {', '.join(SortKey)}."])
    key = SortKey(name)
    return SortOrder(key, descending=sign == "-" or (sign != "+" and key.descending_by_default))
