"""Pictures that the gallery keeps: the names of their files, and what a background process answers about them."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from schemas.gallery.assets import Asset
from schemas.gallery.tokens import MediaStatus, TokenMedia
from schemas.images.inspected_image import MAX_IMAGE_BYTES

# Key prefixes in the media store: files that wait for their examination, and content-addressed objects.
SCRATCH_PREFIX, OBJECTS_PREFIX = "scratch", "gallery"
MAX_UPLOAD_BYTES = MAX_IMAGE_BYTES


class KeepMode(StrEnum):
    """Which bytes are kept: the exact ones, or a copy without metadata such as a GPS position."""

    EXACT = "exact"
    CLEAN = "clean"


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A picture whose objects are in the media store, and the assets that are to be added with it."""

    media: TokenMedia
    assets: tuple[Asset, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a record from ``to_json``."""
        media = TokenMedia(**document["media"] | {"status": MediaStatus(document["media"]["status"])})
        return cls(media, tuple(Asset(**asset) for asset in document["assets"]))


@dataclass(frozen=True, slots=True)
class RefreshOutcome:
    """The outcome of a refresh: ``done`` is a code, ``message`` a sentence for people."""

    done: str
    message: str


def make_scratch_key() -> str:
    """Return the key of a new file that waits for its examination."""
    return f"{SCRATCH_PREFIX}/{secrets.token_hex(16)}"


def object_key(sha256: str, extension: str) -> str:
    """Return the key of the object with this content."""
    return f"{OBJECTS_PREFIX}/{sha256[:2]}/{sha256}.{extension}"
