"""Words and phrases in SQLite and PostgreSQL, compared with a plain search of the texts."""

import itertools
import random

import pytest
from sqlalchemy import Engine, delete, insert, text, update

from schemas.library.search_query import Phrase, SearchQuery
from schemas.library.text_normalization import TEXT_SEPARATOR
from stores.library import tables
from stores.library.search import pages, phrases
from tests.contract.library.search.conftest import find_names
from tests.support.indexed_folder import IndexedFolder

WORDS = ("a", "ab", "abc", "b", "bc", "1", "12", "1e5", "水", "arger", "c²", "\U0010ffffx")
MODELS, SEARCHES = 60, 150
MODEL = {
    **dict.fromkeys(("type", "type_key", "category", "category_key"), "x"),
    **dict.fromkeys(("nsfw_level", "downloads", "likes", "newest_at", "size_bytes", "flags"), 0),
    "files": 1,
}


def write_texts(engine: Engine, texts: list[str]) -> None:
    """Make these the texts of the models, which are named by their positions."""
    names = [f"{number:03}" for number in range(len(texts))]
    with engine.begin() as connection:
        connection.execute(delete(tables.models))
        rows = [MODEL | {"id": number + 1, "name": name, "name_key": name} for number, name in enumerate(names)]
        connection.execute(insert(tables.models), rows)
        words = [{"model_id": number + 1, "facts": "{}", "sources": "{}"} for number in range(len(texts))]
        rows = [row | {"search_text": words} for row, words in zip(words, texts, strict=True)]
        connection.execute(insert(tables.details), rows)


def has_phrase(content: str, phrase: Phrase) -> bool:
    """Whether a text has the words one after the other, the last one as the beginning of a word."""
    words = content.split()
    wanted = len(phrase.words)
    return any(
        words[at : at + wanted - 1] == list(phrase.words[:-1]) and words[at + wanted - 1].startswith(phrase.words[-1])
        for at in range(len(words) - wanted + 1)
    )


def find(library: IndexedFolder, *wanted: Phrase) -> list[str]:
    """Return the names of the models with some phrases, and without the negated ones."""
    return find_names(library, query=SearchQuery(phrases=wanted))


@pytest.mark.parametrize("max_words", [1, 64], ids=["by their beginnings", "by whole words"])
def test_random_phrases_are_found_where_they_are(
    library: IndexedFolder, monkeypatch: pytest.MonkeyPatch, max_words: int
) -> None:
    """Models are found by values, whose index knows single words and pairs of words only."""
    monkeypatch.setattr(pages, "MAX_COUNTED", MODELS - 1)
    monkeypatch.setattr(pages, "MIN_SAMPLED", 10_000)
    monkeypatch.setattr(pages, "MIN_COMPARED", 10_000)
    monkeypatch.setattr(phrases, "MAX_WORDS", max_words)
    choice = random.Random(5)
    known = [word for word in WORDS if word not in ("c²", "\U0010ffffx")]
    texts = [
        TEXT_SEPARATOR.join(
            " ".join(choice.choices(known, k=choice.randint(1, 6))) for _ in range(choice.randint(1, 3))
        )
        for _ in range(MODELS)
    ]
    write_texts(library.engine, texts)

    for _ in range(SEARCHES):
        wanted = [
            Phrase(tuple(choice.choices(WORDS if choice.random() < 0.2 else known, k=choice.randint(1, 4))), negated)
            for negated in choice.choices([False, True], weights=[4, 1], k=choice.randint(1, 3))
        ]
        expected = [
            f"{number:03}"
            for number, content in enumerate(texts)
            if all(has_phrase(content, phrase) is not phrase.negated for phrase in wanted)
        ]
        assert find(library, *wanted) == expected, wanted


def test_pairs_with_the_same_term_are_told_apart(library: IndexedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """So are the words of a phrase in another order, and in a text that is too long to know the order of its words."""
    monkeypatch.setattr(pages, "MAX_COUNTED", 1)
    monkeypatch.setattr(pages, "MIN_SAMPLED", 10_000)
    seen: dict[str, tuple[str, str]] = {}
    for pair in itertools.permutations([f"w{number}" for number in range(100)], 2):
        same = seen.setdefault(phrases.pair_term(*pair), pair)
        if not set(same) & set(pair):
            break
    (first, second), (third, fourth) = same, pair
    assert phrases.pair_term(first, second) == phrases.pair_term(third, fourth)
    long = " ".join(f"{number % 3000}" for number in range(17_000))
    write_texts(
        library.engine,
        [
            f"{first} x {second} y {third} {fourth}",
            f"{first} {second} z {third} x {fourth}",
            f"{long} {second} {first}",
        ],
    )

    assert find(library, Phrase((first, second))) == ["001"]
    assert find(library, Phrase((third, fourth))) == ["000"]
    assert find(library, Phrase((first, second[:-1]))) == ["001"]
    assert find(library, Phrase(("2999", "0", "1"))) == ["002"]
    if library.engine.dialect.name == "sqlite":
        # PostgreSQL gives all words at the end of this text one position.
        assert find(library, Phrase((second, first))) == ["002"]


def test_words_of_changed_texts_are_found(library: IndexedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recount finds the same words as the triggers."""
    monkeypatch.setattr(pages, "MAX_COUNTED", 1)
    monkeypatch.setattr(pages, "MIN_SAMPLED", 10_000)
    write_texts(library.engine, ["red fox", "blue"])

    def check() -> None:
        assert [find(library, Phrase((word,))) for word in ("gre", "blu", "red")] == [["000"], ["001"], []]
        assert find(library, Phrase(("green", "fo"))) == ["000"]

    with library.engine.begin() as connection:
        connection.execute(update(tables.details).where(tables.details.c.model_id == 1).values(search_text="green fox"))
    check()
    if library.engine.dialect.name == "postgresql":
        with library.engine.begin() as connection:
            connection.execute(text("SELECT library_search_recount()"))
        check()
