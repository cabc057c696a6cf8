"""Cursors: opaque words that say where the next page of a list begins."""

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from schemas.errors import Invalid
from schemas.fields import CONTROL_CHARACTERS

INVALID_CURSOR = "cursor: not one that a page gave out; begin again without it."
MOST_DIGITS = 17


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last item of a page: its creation time in milliseconds and its id."""

    time_ms: int
    id: str

    def encode(self) -> str:
        """The cursor as a word for a URL."""
        return _encode(f"{self.time_ms}:{self.id}")

    @classmethod
    def decode(cls, token: str) -> Self:
        """The cursor behind ``word``.

        Raises:
            Invalid: it is not one that Darkroom made.
        """
        time, _, item = _decode(token).partition(":")
        if not _is_number(time) or CONTROL_CHARACTERS.search(item):
            raise Invalid(INVALID_CURSOR)
        return cls(int(time), item)


@dataclass(frozen=True, slots=True)
class KeysetCursor:
    """The last item of a page of a list that is sorted by ``sort``: its key there, and its number among equals."""

    sort: str
    key: str
    id: int

    def encode(self) -> str:
        """The mark as a word for a URL."""
        return _encode(f"{self.sort}:{self.id}:{self.key}")

    @classmethod
    def decode(cls, token: str) -> Self:
        """The mark behind ``word``; raises Invalid as above."""
        sort, _, rest = _decode(token).partition(":")
        number, _, key = rest.partition(":")
        if not _is_number(number):
            raise Invalid(INVALID_CURSOR)
        return cls(sort, key, int(number))


def _is_number(text: str) -> bool:
    """Whether it is a number that databases hold, too."""
    return text.isascii() and text.isdigit() and len(text) < MOST_DIGITS


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(word: str) -> str:
    try:
        return base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)).decode()
    except (ValueError, binascii.Error) as error:
        raise Invalid(INVALID_CURSOR) from error
