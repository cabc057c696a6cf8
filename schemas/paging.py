"""Keyset pagination: opaque tokens that name the last item of a page, so that the next page starts after it."""

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from marshmallow import Schema, fields, validate

from schemas.errors import Invalid
from schemas.fields import CONTROL_CHARACTERS, WholeNumber

INVALID_CURSOR = "cursor: not a cursor of this server; start again without it."
# A number of this many digits fits into the 64-bit integers of SQL and Redis.
MAX_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last item of a page ordered by creation time: its time in milliseconds and its id."""

    time_ms: int
    id: str

    def encode(self) -> str:
        """Return the cursor as a URL-safe token."""
        return _encode(f"{self.time_ms}:{self.id}")

    @classmethod
    def decode(cls, token: str) -> Self:
        """Return the cursor that ``token`` encodes; raise Invalid if it is malformed."""
        time, _, item = _decode(token).partition(":")
        if not _is_number(time) or CONTROL_CHARACTERS.search(item):
            raise Invalid(INVALID_CURSOR)
        return cls(int(time), item)


@dataclass(frozen=True, slots=True)
class KeysetCursor:
    """The last item of a page ordered by ``sort``: its sort key, and its row id as the tie-breaker."""

    sort: str
    key: str
    id: int

    def encode(self) -> str:
        """Return the cursor as a URL-safe token."""
        return _encode(f"{self.sort}:{self.id}:{self.key}")

    @classmethod
    def decode(cls, token: str) -> Self:
        """Return the cursor that ``token`` encodes; raise Invalid if it is malformed."""
        sort, _, rest = _decode(token).partition(":")
        number, _, key = rest.partition(":")
        if not _is_number(number):
            raise Invalid(INVALID_CURSOR)
        return cls(sort, key, int(number))


class PageQuery(Schema):
    """The query parameters of a paged list."""

    cursor = fields.String(
        validate=validate.Length(min=1), metadata={"description": "The `nextCursor` of the previous page."}
    )
    limit = WholeNumber(
        load_default=20, validate=validate.Range(1, 100), metadata={"description": "How many items a page has."}
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (ValueError, binascii.Error) as error:
        raise Invalid(INVALID_CURSOR) from error
