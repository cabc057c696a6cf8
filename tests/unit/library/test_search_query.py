"""The query language of the library."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import Invalid
from schemas.library.search_query import (
    FILTERS,
    HAS_VALUES,
    IS_VALUES,
    MAX_INT32,
    MAX_NUMBER,
    MAX_QUERY_CHARS,
    MAX_TERMS,
    Phrase,
    QueryTerm,
    SearchQuery,
    SortKey,
    SortOrder,
    parse_query,
    parse_sort_order,
)
from schemas.library.text_normalization import TEXT_SEPARATOR, build_search_text, normalize, split_words


def phrase(*words: str, negated: bool = False) -> SearchQuery:
    """Return a query for a phrase."""
    return SearchQuery(phrases=(Phrase(words, negated),))


def term(field: str, op: str, value: str | int, *, negated: bool = False) -> SearchQuery:
    """Return a query with one filter."""
    return SearchQuery(terms=(QueryTerm(field, op, value, negated),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SearchQuery()),
        (" \t\n ", SearchQuery()),
        ("ink", phrase("ink")),
        ("Ünïcode", phrase("unicode")),
        ("ink wash", SearchQuery(phrases=(Phrase(("ink",)), Phrase(("wash",))))),
        ('"ink wash"', phrase("ink", "wash")),
        ("ink-wash_v2", phrase("ink", "wash", "v2")),
        ("-ink", phrase("ink", negated=True)),
        ('-"ink wash"', phrase("ink", "wash", negated=True)),
        ("--ink", phrase("ink", negated=True)),
        ('"unclosed', phrase("unclosed")),
        ("水墨", phrase("水", "墨")),
        ("-", SearchQuery()),
        ('""', SearchQuery()),
        ('"', SearchQuery()),
        ("* ( ) ^ + ~ | & !", phrase()),
        ("\U0001f600 _", phrase()),
        ("\U0001f600 ink", phrase("ink")),
        ("-\U0001f600", SearchQuery()),
        ("http://x.test/a", phrase("http", "x", "test", "a")),
        ("-note:well", phrase("note", "well", negated=True)),
        ("tag:", phrase("tag")),
        ("is:", phrase("is")),
        ('tag:""', phrase("tag")),
        ("tag:\u00b4", phrase("tag")),
        ("base:SDXL", term("base", "~", "sdxl")),
        ('base:"SD 1.5"', term("base", "~", "sd 1.5")),
        ("baseModel:sdxl", term("base", "~", "sdxl")),
        ("BASE:sdxl", term("base", "~", "sdxl")),
        ("type:LORA", term("type", "=", "lora")),
        ("category:LoRA", term("category", "=", "lora")),
        ("folder:Styles", term("subcategory", "=", "styles")),
        ("subcategory:a:b", term("subcategory", "=", "a:b")),
        ("creator:ann", term("creator", "~", "ann")),
        ("name:%_", term("name", "~", "%_")),
        ("-tag:Style", term("tag", "=", "style", negated=True)),
        ('tags:"oil on canvas"', term("tag", "=", "oil on canvas")),
        ("has:NOTES", term("has", "=", "notes")),
        ("-is:pickle", term("is", "=", "pickle", negated=True)),
        ("dim:32", term("dim", "=", 32)),
        ("dim:>=32", term("dim", ">=", 32)),
        ("dim:=32", term("dim", "=", 32)),
        ("size:>1.5GB", term("size", ">", 1_500_000_000)),
        ("size:<=2kib", term("size", "<=", 2048)),
        ("size:10b", term("size", "=", 10)),
        ("size:<1mb", term("size", "<", 1_000_000)),
        ("nsfw:<=3", term("nsfw", "<=", 3)),
        ("downloads:>1000", term("downloads", ">", 1000)),
        ("likes:<0.4", term("likes", "<", 0)),
        ("size:>999999999999999gib", term("size", ">", MAX_NUMBER)),
        ("dim:>999999999999999", term("dim", ">", MAX_INT32)),
        ("name:a\0b", SearchQuery((QueryTerm("name", "~", "a"),), (Phrase(("b",)),))),
        ("name:\ud800", phrase("name")),
    ],
)
def test_queries_are_parsed(text: str, expected: SearchQuery) -> None:
    """They have words, phrases, filters with operators and units, and negation; unknown filters are words."""
    assert parse_query(text) == expected


@pytest.mark.parametrize(
    ("text", "sort", "descending"),
    [
        ("order:size", SortKey.SIZE, True),
        ("order:-size", SortKey.SIZE, True),
        ("order:+size", SortKey.SIZE, False),
        ("order:name", SortKey.NAME, False),
        ("sort:-NAME", SortKey.NAME, True),
        ("order:oldest", SortKey.OLDEST, False),
        ("order:likes order:downloads", SortKey.DOWNLOADS, True),
    ],
)
def test_sort_orders_are_parsed(text: str, sort: SortKey, *, descending: bool) -> None:
    """Each key has a default direction, and the last order wins."""
    assert parse_query(text) == SearchQuery(order=SortOrder(sort, descending))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("has:nothing", "has:nothing must be one of metadata"),
        ("is:there", "is:there must be one of local"),
        ("dim:many", "dim:many must be a number"),
        ("dim:32b", "dim:32b must be a number"),
        ("dim:>", "dim:> must be a number"),
        ("dim:-1", "dim:-1 must be a number"),
        ("size:1tb", "size:1tb must be a number"),
        ("size:1,5gb", "must be a number"),
        ("size:1e9", "must be a number"),
        ("nsfw:9999999999999999", "must be a number"),
        ("order:colour", "'colour' must be one of newest"),
        ("x" * (MAX_QUERY_CHARS + 1), f"at most {MAX_QUERY_CHARS} characters"),
        ("x " * (MAX_TERMS + 1), f"at most {MAX_TERMS} words"),
    ],
)
def test_invalid_filters_are_rejected(text: str, words: str) -> None:
    """The message names the filter and its valid values."""
    with pytest.raises(Invalid) as refused:
        parse_query(text)
    assert words in refused.value.problems[0]
    assert len(refused.value.problems[0]) < 200


def test_every_filter_accepts_its_values() -> None:
    """Values are fixed words, texts or numbers."""
    for name, values in (("has", HAS_VALUES), ("is", IS_VALUES)):
        assert [parse_query(f"{name}:{word}").terms[0].value for word in values] == list(values)
    for name in FILTERS.keys() - {"has", "is"}:
        [found] = parse_query(f"{name}:1").terms
        assert found.field == name


QUERIES = st.lists(
    st.one_of(
        st.sampled_from([*(f"{name}:" for name in FILTERS), "order:", '"', "-", ":", " ", ">=", "<", "\0", "\ud800"]),
        st.text(max_size=20),
        st.text(string.digits + "e.-", max_size=20),
    ),
    max_size=20,
).map("".join)


@settings(deadline=None, max_examples=300)
@given(QUERIES)
def test_any_query_is_parsed_or_rejected(text: str) -> None:
    """Parsed values fit every database."""
    try:
        query = parse_query(text)
    except Invalid:
        return
    for term_ in query.terms:
        assert term_.field in FILTERS
        assert term_.value if isinstance(term_.value, str) else 0 <= term_.value <= MAX_NUMBER
    words = [word for phrase_ in query.phrases for word in phrase_.words]
    texts = words + [term_.value for term_ in query.terms if isinstance(term_.value, str)]
    assert all("\0" not in text and text.encode() for text in texts)
    assert all(word == normalize(word) and split_words(word) == [word] for word in words)


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_words_are_normalized_like_the_search_text(text: str) -> None:
    """The words of a text follow one another there."""
    words = " ".join(split_words(text))
    assert build_search_text([None, "x x", text, ""]) == (
        f"x x{TEXT_SEPARATOR}{words}" if words and words != "x x" else "x x"
    )
    assert not any(TEXT_SEPARATOR.strip() in word for word in split_words(text))


def test_only_known_sort_keys_are_accepted() -> None:
    """They may have a sign."""
    for sort in SortKey:
        assert parse_sort_order(sort) == SortOrder(sort, sort.descending_by_default)
    for text in ("", "-", "+", "--size", "size-", "size;drop", "\0", "\u017fize"):
        with pytest.raises(Invalid):
            parse_sort_order(text)


def test_the_search_text_is_bounded() -> None:
    """Duplicate texts are indexed once."""
    assert len(build_search_text(["name", "x " * 1_000_000])) == 100_000
    assert build_search_text(["Ink Wash", "ink_wash", "wash style"]) == f"ink wash{TEXT_SEPARATOR}wash style"
