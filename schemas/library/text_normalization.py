"""How words are compared: without case, accents and punctuation. Pure."""

import re
import unicodedata
from collections.abc import Iterable

MAX_WORD_CHARS = 64
# PostgreSQL's indexes take 2,700 bytes of a text, and its search a megabyte.
MAX_SORT_KEY_CHARS = 300
MAX_SEARCH_TEXT_CHARS = 100_000
# Stands between two texts, so that nothing follows from one to the other: a letter to databases, and one that no folded
# word has.
TEXT_SEPARATOR = " \u00aa "
# Chinese, Japanese and Thai are written without spaces: each letter is a word, so that any part of a text is found.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"(?![_\W])[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W_])+")


def normalize(text: str) -> str:
    """``text`` as it is compared with others: ``Ünïcode`` and ``UNICODE`` are the same."""
    # Twice: letters of mathematics become plain ones, and only these have cases.
    plain = unicodedata.normalize("NFKD", text.casefold())
    decomposed = unicodedata.normalize("NFKD", plain.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).strip()


def sort_key(text: str) -> str:
    """``text`` as it is sorted: its beginning, folded, so long that an index takes it."""
    return normalize(text)[:MAX_SORT_KEY_CHARS]


def split_words(text: str) -> list[str]:
    """The words of a text, folded; ``_`` and ``-`` part words, as they do in file names."""
    return [word[:MAX_WORD_CHARS] for word in _WORD.findall(normalize(text))]


def build_search_text(texts: Iterable[str | None]) -> str:
    """The words of these texts, in their order, for the index; bounded, the last texts being cut."""
    each = dict.fromkeys(" ".join(split_words(text)) for text in texts if text)
    return TEXT_SEPARATOR.join(filter(None, each))[:MAX_SEARCH_TEXT_CHARS]
