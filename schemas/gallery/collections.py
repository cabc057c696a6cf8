"""Collections of tokens."""

from dataclasses import dataclass
from enum import StrEnum

MAX_ROYALTY_FEE = 10_000


class CollectionStatus(StrEnum):
    """Whether a collection is in the lists of all collections; its own page shows it in either case."""

    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection. ``owner`` is a caller's id; ``twitter`` is the owner's; ``royalty_fee`` is in basis points.

    ``thumbnail`` is the name of an asset; addresses are in EIP-55 form; times are Unix ms.
    """

    id: int
    owner: str
    address_of_owner: str
    slug: str
    name: str
    description: str
    explicit: bool
    thumbnail: str | None
    royalty_fee: int
    status: CollectionStatus
    virtual_address: str
    twitter: str | None
    twitter_verified: bool
    token_count: int
    created_at: int
    modified_at: int


@dataclass(frozen=True, slots=True)
class NewCollection:
    """The fields of a new collection. Without ``slug``, the slug is made from the name."""

    name: str
    slug: str | None = None
    description: str = ""
    explicit: bool = False
    thumbnail: str | None = None
    royalty_fee: int = 0


# The fields that an update may name.
COLLECTION_CHANGES = frozenset({"name", "slug", "description", "explicit", "thumbnail", "royalty_fee", "status"})


@dataclass(frozen=True, slots=True)
class FoundCollection:
    """A collection, and the old slug by which it was found, if it was: the client should be redirected."""

    collection: Collection
    moved_from: str | None = None
