"""Tokens: pictures with a name, attributes and a provenance, each in one collection."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ONE = f"0x{1:064x}"
_TOKEN_ID = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_ADDRESS_DIGITS = 42


class MediaStatus(StrEnum):
    """The state of a token's picture."""

    NONE = "none"
    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TokenMedia:
    """The picture of a token. The last four are names of assets; ``sha256`` is that of the original bytes."""

    status: MediaStatus = MediaStatus.NONE
    reason: str | None = None
    sha256: str | None = None
    type: str | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    size_bytes: int | None = None
    asset: str | None = None
    thumb: str | None = None
    preview: str | None = None
    poster: str | None = None

    @property
    def assets(self) -> tuple[str, ...]:
        """The names of all its assets."""
        return tuple(filter(None, (self.asset, self.thumb, self.preview, self.poster)))


@dataclass(frozen=True, slots=True)
class Listing:
    """An offer, as information only: the gallery sells nothing. Each is ``0x`` and 64 hexadecimal digits."""

    price: str
    start: str
    end: str
    amount: str


@dataclass(frozen=True, slots=True)
class CollectionRef:
    """The reference of a token to its collection."""

    id: int
    slug: str
    name: str
    virtual_address: str
    explicit: bool


@dataclass(frozen=True, slots=True)
class Token:
    """A token. ``token_id`` is ``0x`` and 64 lower-case digits: the creator's address and a counter.

    ``owner`` is a caller's id, ``creator`` the address of that caller. ``provenance`` is None in lists. Times are Unix
    ms.
    """

    id: int
    token_id: str
    collection: CollectionRef
    owner: str
    creator: str
    name: str
    description: str
    amount: str
    attributes: tuple[dict[str, Any], ...]
    position: int
    status: str
    moderation_score: float
    model: str | None
    workload_id: str | None
    media: TokenMedia
    listing: Listing | None
    refresh_requested_at: int | None
    is_prompt_private: bool
    created_at: int
    modified_at: int
    provenance: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a token is created with. ``provenance`` is a JSON object; its ``jobId`` finds the token by its job."""

    name: str
    description: str = ""
    amount: str = ONE
    attributes: tuple[dict[str, Any], ...] = ()
    moderation_score: float = 0
    model: str | None = None
    workload_id: str | None = None
    listing: Listing | None = None
    is_prompt_private: bool = False
    provenance: dict[str, Any] | None = None


# The fields that an update may name.
TOKEN_CHANGES = frozenset(
    {"name", "description", "amount", "attributes", "model", "workload_id", "is_prompt_private", "moderation_score"}
    | {"status", "provenance"}
)


def is_token_id(text: str) -> bool:
    """Return whether ``text`` is a token id, in either case."""
    return _TOKEN_ID.fullmatch(text.lower()) is not None


def format_token_id(address: str, number: int) -> str:
    """Return the token id of a creator's address and a counter."""
    return f"{address.lower()}{number:024x}"


def split_token_id(token_id: str) -> tuple[str, int]:
    """Return the creator's address, in lower case, and the counter of a valid token id."""
    lower = token_id.lower()
    return lower[:_ADDRESS_DIGITS], int(lower[_ADDRESS_DIGITS:], 16)
