"""The events of the gallery, on webhooks and in event streams."""

from enum import StrEnum


class GalleryEvent(StrEnum):
    """The type of an event, as it appears on the wire."""

    COLLECTION_CREATED = "collection.created"
    TOKEN_CREATED = "token.created"  # noqa: S105 - a token of the gallery
    MEDIA_READY = "token.media_ready"
