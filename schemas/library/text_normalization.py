"""Normalizes texts for comparison, sorting and full-text search: without case, accents and punctuation."""

import re
import unicodedata
from collections.abc import Iterable

MAX_WORD_CHARS = 64
# PostgreSQL's indexes hold 2,700 bytes of a text, its full-text search vectors a megabyte.
MAX_SORT_KEY_CHARS = 300
MAX_SEARCH_TEXT_CHARS = 100_000
# Stands between two texts so that no phrase matches across them. Databases index this character as a letter, and no
# normalized word contains it.
TEXT_SEPARATOR = " \u00aa "
# Thai, Japanese and Chinese are written without spaces: each character is a word, so that any part can be found.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"(?![_\W])[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W_])+")


def normalize(text: str) -> str:
    """Return ``text`` without case and accents: ``Ünïcode`` and ``UNICODE`` become equal."""
    # Twice: mathematical letters have no case until NFKD has made them plain ones.
    folded = unicodedata.normalize("NFKD", text.casefold())
    decomposed = unicodedata.normalize("NFKD", folded.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character)).strip()


def sort_key(text: str) -> str:
    """Return the normalized beginning of ``text``, short enough for an index."""
    return normalize(text)[:MAX_SORT_KEY_CHARS]


def split_words(text: str) -> list[str]:
    """Return the normalized words of a text; ``_`` and ``-`` separate words, as in file names."""
    return [word[:MAX_WORD_CHARS] for word in _WORD.findall(normalize(text))]


def build_search_text(texts: Iterable[str | None]) -> str:
    """Return the words of several texts for the full-text index, each text once; an excess is cut off."""
    unique = dict.fromkeys(" ".join(split_words(text)) for text in texts if text)
    return TEXT_SEPARATOR.join(filter(None, unique))[:MAX_SEARCH_TEXT_CHARS]


def fold_file_name(name: str) -> str:
    """Return a file name as file systems compare it that ignore case and Unicode's normal forms (macOS, SMB)."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()
