"""Owns how words are compared: without case, accents and punctuation. Pure.

Used by ``stores.library`` when it writes what is searched, and by ``schemas.library.query`` when it reads a question.
"""

import re
import unicodedata
from collections.abc import Iterable

LONGEST_WORD = 64
_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """``text`` as it is compared with others: ``Ünïcode`` and ``UNICODE`` are the same."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).strip()


def words(text: str) -> list[str]:
    """The words of a text, folded; ``_`` and ``-`` part words, as they do in file names."""
    return [word[:LONGEST_WORD] for word in _WORD.findall(fold(text))]


def search_text(texts: Iterable[str | None]) -> str:
    """All words of these texts, each once, for the index."""
    return " ".join(dict.fromkeys(word for text in texts if text for word in words(text)))
