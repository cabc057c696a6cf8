"""The language in which the library is asked: words, and filters such as ``base:sdxl -tag:style dim:>=32``. Pure.

``docs/library.md``
describes it for people.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from schemas.errors import Invalid
from schemas.library.text_normalization import normalize, split_words

MAX_QUERY_CHARS = 500
MAX_TERMS = 40
# The largest numbers that databases compare with: more is as good as this.
MAX_NUMBER, MAX_INT32 = 2**53, 2**31 - 1


class SortKey(StrEnum):
    """In which order models come."""

    NEWEST = "newest"
    OLDEST = "oldest"
    NAME = "name"
    DOWNLOADS = "downloads"
    LIKES = "likes"
    SIZE = "size"

    @property
    def descending_by_default(self) -> bool:
        """Whether the greatest come first, where nobody says which."""
        return self not in (SortKey.NAME, SortKey.OLDEST)


@dataclass(frozen=True, slots=True)
class SortOrder:
    """What models are sorted by, and whether the greatest come first."""

    key: SortKey
    descending: bool


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """One condition: ``field`` is a name of ``FIELDS``, ``op`` one of ``= ~ < <= > >=``; ``negated`` turns it round."""

    field: str
    op: str
    value: str | int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that must (not) stand in a model's texts one after another; the last may be the beginning of a longer.

    No words at all stand in no text.
    """

    words: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is asked, all of it at once; ``order`` is None where nothing is said of it."""

    terms: tuple[QueryTerm, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    order: SortOrder | None = None


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
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PART = re.compile(r'(-?)(?:([A-Za-z]+):)?(?:"([^"]*)"|(\S+))')
_NUMBER = re.compile(r"(<=|>=|<|>|=)?(\d{1,15}(?:\.\d{1,6})?)([a-z]{0,3})", re.IGNORECASE)


def _text(op: str) -> Callable[[str, str], tuple[str, str | int]]:
    def read(_name: str, value: str) -> tuple[str, str | int]:
        return op, normalize(value)

    return read


def _number(name: str, value: str) -> tuple[str, str | int]:
    found = _NUMBER.fullmatch(value)
    unit = found[3].lower() if found else "?"
    if found is None or unit not in SIZE_UNITS or (unit and name != "size"):
        raise Invalid(problems=[f"search: {name}:{value[:40]} must be a number, such as {name}:>=32."])
    most = MAX_INT32 if name in ("dim", "nsfw") else MAX_NUMBER
    return found[1] or "=", min(most, round(float(found[2]) * SIZE_UNITS[unit]))


def _one_of(known: tuple[str, ...]) -> Callable[[str, str], tuple[str, str | int]]:
    def read(name: str, value: str) -> tuple[str, str | int]:
        if value.lower() not in known:
            raise Invalid(problems=[f"search: {name}:{value[:40]} must be one of {', '.join(known)}."])
        return "=", value.lower()

    return read


# How the value of each filter is read; a filter that is none is a word like any other.
FILTERS: Mapping[str, Callable[[str, str], tuple[str, str | int]]] = {
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
    """What ``text`` asks.

    Raises:
        Invalid: it is too long, or a filter has a value that means nothing.
    """
    if len(text) > MAX_QUERY_CHARS:
        raise Invalid(problems=[f"search: at most {MAX_QUERY_CHARS} characters."])
    parts = list(_parts(_NO_TEXT.sub(" ", text)))
    if len(parts) > MAX_TERMS:
        raise Invalid(problems=[f"search: at most {MAX_TERMS} words and filters."])
    orders = [part for part in parts if isinstance(part, SortOrder)]
    terms = tuple(part for part in parts if isinstance(part, QueryTerm))
    said = [part for part in parts if isinstance(part, Phrase)]
    # A mark between words is not looked for; marks alone are, and not found.
    telling = tuple(part for part in said if part.words)
    return SearchQuery(
        terms=terms,
        phrases=telling if telling or terms else tuple(said[:1]),
        order=orders[-1] if orders else None,
    )


def _parts(text: str) -> Iterator[QueryTerm | Phrase | SortOrder]:
    for found in _PART.finditer(text):
        minus, field, quoted, plain = found.groups()
        value = plain if quoted is None else quoted
        name = ALIASES.get((field or "").lower(), (field or "").lower())
        if name == "order":
            yield parse_sort_order(value)
        elif name in FILTERS and value:
            op, read = FILTERS[name](name, value)
            yield QueryTerm(name, op, read, bool(minus))
        else:
            yield from _as_words(found[0].removeprefix("-") if field else value, negated=bool(minus))


def _as_words(text: str, *, negated: bool) -> Iterator[Phrase]:
    found = split_words(text)
    # Who types a filter begins with one of these.
    if found or (text.strip('-" ') and not negated):
        yield Phrase(tuple(found), negated)


def parse_sort_order(text: str) -> SortOrder:
    """``size`` as people mean it, ``-size`` the greatest first, ``+size`` the least; raises Invalid."""
    name = text.lower().removeprefix(text[:1] if text[:1] in ("+", "-") else "")
    if name not in list(SortKey):
        raise Invalid(problems=[f"sort: {text[:40]!r} must be one of {', '.join(SortKey)}."])
    sort = SortKey(name)
    return SortOrder(sort, descending=text[:1] == "-" or (text[:1] != "+" and sort.descending_by_default))
