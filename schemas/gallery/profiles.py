"""The profile of a caller: the wallet address and the caller's own description."""

import unicodedata
from dataclasses import dataclass

MAX_USERNAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Profile:
    """A person of the gallery. ``address`` is in EIP-55 form, ``image`` is the name of an asset, times are Unix ms."""

    caller_id: str
    address: str
    username: str | None
    bio: str
    link: str | None
    image: str | None
    twitter: str | None
    twitter_verified: bool
    created_at: int
    modified_at: int


# The fields that an update may name.
PROFILE_CHANGES = frozenset({"username", "bio", "link", "image", "twitter", "twitter_verified"})


def username_key(username: str) -> str:
    """Return what makes a username unique: two that differ in case or in Unicode form only are the same."""
    return unicodedata.normalize("NFKC", username).casefold()
