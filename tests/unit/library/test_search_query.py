"""The language in which the library is asked."""

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


def said(*each: str, negated: bool = False) -> SearchQuery:
    """A query for words that follow one another."""
    return SearchQuery(phrases=(Phrase(each, negated),))


def term(field: str, op: str, value: str | int, *, negated: bool = False) -> SearchQuery:
    """A query with one condition."""
    return SearchQuery(terms=(QueryTerm(field, op, value, negated),))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", SearchQuery()),
        (" \t\n ", SearchQuery()),
        ("ink", said("ink")),
        ("Ünïcode", said("unicode")),
        ("ink wash", SearchQuery(phrases=(Phrase(("ink",)), Phrase(("wash",))))),
        ('"ink wash"', said("ink", "wash")),
        ("ink-wash_v2", said("ink", "wash", "v2")),
        ("-ink", said("ink", negated=True)),
        ('-"ink wash"', said("ink", "wash", negated=True)),
        ("--ink", said("ink", negated=True)),
        ('"unclosed', said("unclosed")),
        ("水墨", said("水", "墨")),
        ("-", SearchQuery()),
        ('""', SearchQuery()),
        ('"', SearchQuery()),
        ("* ( ) ^ + ~ | & !", said()),
        ("\U0001f600 _", said()),
        ("\U0001f600 ink", said("ink")),
        ("-\U0001f600", SearchQuery()),
        ("http://x.test/a", said("http", "x", "test", "a")),
        ("-note:well", said("note", "well", negated=True)),
        ("tag:", said("tag")),
        ("is:", said("is")),
        ('tag:""', said("tag")),
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
        ("name:\ud800", said("name")),
    ],
)
def test_a_question_is_read(text: str, meant: SearchQuery) -> None:
    """Words, phrases, filters with operators and units, a minus before any of them; else it is a word like others."""
    assert parse_query(text) == meant


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
def test_an_order_is_read(text: str, sort: SortKey, *, descending: bool) -> None:
    """As people mean it where they do not say, and the last of several."""
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
def test_what_means_nothing_is_told(text: str, words: str) -> None:
    """With the filter and what it may be."""
    with pytest.raises(Invalid) as refused:
        parse_query(text)
    assert words in refused.value.problems[0]
    assert len(refused.value.problems[0]) < 200


def test_every_filter_has_every_value_that_it_names() -> None:
    """Each word of ``has`` and ``is`` is taken, and every other filter takes a text or a number."""
    for name, known in (("has", HAS_VALUES), ("is", IS_VALUES)):
        assert [parse_query(f"{name}:{word}").terms[0].value for word in known] == list(known)
    for name in FILTERS.keys() - {"has", "is"}:
        [found] = parse_query(f"{name}:1").terms
        assert found.field == name


QUESTIONS = st.lists(
    st.one_of(
        st.sampled_from([*(f"{name}:" for name in FILTERS), "order:", '"', "-", ":", " ", ">=", "<", "\0", "\ud800"]),
        st.text(max_size=20),
        st.text(string.digits + "e.-", max_size=20),
    ),
    max_size=20,
).map("".join)


@settings(deadline=None, max_examples=300)
@given(QUESTIONS)
def test_no_question_breaks_the_reader(text: str) -> None:
    """Whatever is asked is read, or refused; what is read fits every database."""
    try:
        found = parse_query(text)
    except Invalid:
        return
    for each in found.terms:
        assert each.field in FILTERS
        assert each.value if isinstance(each.value, str) else 0 <= each.value <= MAX_NUMBER
    texts = [one.value for one in found.terms if isinstance(one.value, str)]
    texts += [word for one in found.phrases for word in one.words]
    assert all("\0" not in one and one.encode() for one in texts)
    assert all(word == normalize(word) and split_words(word) == [word] for one in found.phrases for word in one.words)


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_words_are_found_in_the_text_that_they_are_of(text: str) -> None:
    """What is asked is folded as what is searched is, and a text's words follow one another there."""
    said = " ".join(split_words(text))
    assert build_search_text([None, "x x", text, ""]) == (
        f"x x{TEXT_SEPARATOR}{said}" if said and said != "x x" else "x x"
    )
    assert not any(TEXT_SEPARATOR.strip() in word for word in split_words(text))


def test_orders_are_those_of_the_list() -> None:
    """And nothing else."""
    for sort in SortKey:
        assert parse_sort_order(sort) == SortOrder(sort, sort.descending_by_default)
    for text in ("", "-", "+", "--size", "size-", "size;drop", "\0", "\u017fize"):
        with pytest.raises(Invalid):
            parse_sort_order(text)


def test_the_search_text_is_bounded() -> None:
    """However much is said of a model; the same text twice is searched once."""
    assert len(build_search_text(["name", "x " * 1_000_000])) == 100_000
    assert build_search_text(["Ink Wash", "ink_wash", "wash style"]) == f"ink wash{TEXT_SEPARATOR}wash style"
