"""Words and phrases as terms of PostgreSQL's index of values.

The index answers for whole terms several times as fast as for the beginning of words, and knows nothing of positions.
So the beginning is replaced by all words of the library that begin so, and a phrase by its pairs of words. Each pair is
a term that begins with ``=p``; different ones may have the same term, so models that have them are looked at.
"""

import hashlib
import itertools
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from schemas.library.search_query import Phrase

# More words with one beginning are searched for by the beginning.
MAX_WORDS = 64
PAIR_CHARS = 4
# A model has this term if its text is so long that PostgreSQL does not know which words follow one another.
MANY = "=pmany"
FIRST_SURROGATE, AFTER_SURROGATES = 0xD800, 0xE000
WORDS = text("""
    SELECT
        ARRAY(
            SELECT word FROM unnest(CAST(:words AS text[])) AS word
            WHERE strip(to_tsvector('simple', word)) = array_to_tsvector(ARRAY[word])
        ) AS whole,
        coalesce(array_agg(begun.last), ARRAY[]::text[]) AS lasts,
        coalesce(array_agg(begun.word), ARRAY[]::text[]) AS words
    FROM (
        SELECT part.last, found.word
        FROM unnest(CAST(:lasts AS text[]), CAST(:ends AS text[])) AS part (last, beyond)
        CROSS JOIN LATERAL (
            SELECT word FROM library_search_words
            WHERE word >= part.last AND word < part.beyond ORDER BY word LIMIT :most
        ) AS found
    ) AS begun
""")


@dataclass(frozen=True, slots=True)
class PhraseTerms:
    """What models with some phrases have.

    Of each of ``alternatives`` they have one term. ``checked`` are phrases that have to be looked for in the models
    with these terms, ``others`` those for which no terms are known.
    """

    alternatives: list[list[str]] = field(default_factory=list)
    checked: list[Phrase] = field(default_factory=list)
    others: list[Phrase] = field(default_factory=list)


def find_terms(phrases: Sequence[Phrase], connection: Connection) -> PhraseTerms:
    """Return the terms of phrases."""
    found = PhraseTerms()
    if not phrases:
        return found
    words = _Words(phrases, connection)
    for phrase in phrases:
        *whole, last = phrase.words or ("",)
        lasts = words.that_begin_with(last)
        if not words.are_whole(phrase.words) or (lasts is None and len(whole) <= 1):
            found.others.append(phrase)
        elif not whole:
            found.alternatives.append(lasts or [])
        else:
            found.checked.append(phrase)
            found.alternatives.extend([pair_term(*pair), MANY] for pair in itertools.pairwise(whole))
            if lasts is not None:
                found.alternatives.append([*(pair_term(whole[-1], last) for last in lasts), MANY])
    return found


class _Words:
    """The words of phrases as PostgreSQL splits texts, and the words of the library that begin with the last ones."""

    def __init__(self, phrases: Sequence[Phrase], connection: Connection) -> None:
        words = sorted({word for phrase in phrases for word in phrase.words})
        lasts = sorted({phrase.words[-1] for phrase in phrases if phrase.words})
        parameters = {"words": words, "lasts": lasts, "ends": list(map(_end, lasts)), "most": MAX_WORDS + 1}
        row = connection.execute(WORDS, parameters).one()
        self._whole = frozenset(row.whole)
        self._beginnings: defaultdict[str, list[str]] = defaultdict(list)
        for last, word in zip(row.lasts, row.words, strict=True):
            self._beginnings[last].append(word)

    def are_whole(self, words: Sequence[str]) -> bool:
        """Whether PostgreSQL takes each for one word, of all."""
        return bool(words) and self._whole.issuperset(words)

    def that_begin_with(self, beginning: str) -> list[str] | None:
        """Return the words; None if they are more than MAX_WORDS."""
        words = self._beginnings[beginning]
        return words if len(words) <= MAX_WORDS else None


def _end(beginning: str) -> str:
    """Return the first text after all that begin so."""
    code = ord(beginning[-1]) + 1
    return beginning[:-1] + chr(AFTER_SURROGATES if code == FIRST_SURROGATE else min(code, sys.maxunicode))


def pair_term(first: str, second: str) -> str:
    """Return the term of a pair of words, as the function ``library_search_pair`` writes it."""
    return f"=p{hashlib.sha256(f'{first} {second}'.encode()).hexdigest()[:PAIR_CHARS]}"
