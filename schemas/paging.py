"""Owns cursors: opaque words that say where the next page of a list begins.

Used by every route that lists things, and by the stores that read one page.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from schemas.errors import Invalid


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last item of a page: its creation time in milliseconds and its id."""

    time_ms: int
    id: str

    def encode(self) -> str:
        """The cursor as a word for a URL."""
        return base64.urlsafe_b64encode(f"{self.time_ms}:{self.id}".encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, word: str) -> Self:
        """The cursor behind ``word``.

        Raises:
            Invalid: it is not one that Darkroom made.
        """
        try:
            text = base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)).decode()
            time, _, item = text.partition(":")
            return cls(int(time), item)
        except (ValueError, binascii.Error) as error:
            raise Invalid("cursor: not one that a page gave out; begin again without it.") from error
