"""Assets (public names of stored objects) and uploads (signed URLs and what became of them)."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Asset:
    """A public file. ``name`` is a nanoid of 21 characters and an extension; ``media_key`` is in the media store."""

    name: str
    media_key: str
    type: str
    sha256: str
    size_bytes: int


class UploadTarget(StrEnum):
    """The object whose picture an upload becomes."""

    TOKEN = "token"  # noqa: S105 - a token of the gallery
    COLLECTION = "collection"
    PROFILE = "profile"


class UploadState(StrEnum):
    """The state of an upload: a URL is used once, and every upload ends in one of the last three."""

    ISSUED = "issued"
    RECEIVED = "received"
    FINISHED = "finished"
    FAILED = "failed"
    EXPIRED = "expired"


OPEN_UPLOADS = (UploadState.ISSUED, UploadState.RECEIVED)


@dataclass(frozen=True, slots=True)
class Upload:
    """An issued upload URL.

    ``target_id`` is a token id, the id of a collection, or a caller's id. ``media_key`` is where the bytes are before
    they are examined. ``size_bytes`` is set when they have arrived. Times are Unix ms.
    """

    nonce: str
    owner: str
    target: UploadTarget
    target_id: str
    media_key: str
    max_bytes: int
    size_bytes: int | None
    state: UploadState
    reason: str | None
    created_at: int
    expires_at: int
    changed_at: int
