"""Events of the gallery, queued in the transaction of the change; ``stores.webhooks.gallery_events`` sends them on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select

from schemas.gallery.collections import Collection
from schemas.gallery.events import GalleryEvent
from schemas.gallery.tokens import MediaStatus, Token, TokenMedia
from stores.gallery.tables import events
from stores.library.rows import dump_json
from stores.sql.database import Database


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An event that has not been sent. ``owner`` is a caller's id; ids are never used again."""

    id: int
    owner: str
    type: GalleryEvent
    time_ms: int
    data: dict[str, Any]


def record_event(
    connection: Connection, owner: str, event_type: GalleryEvent, time_ms: int, data: Mapping[str, Any]
) -> None:
    """Queue an event, which will reach the owner's webhooks and streams once the transaction is committed."""
    row = {"owner": owner, "type": event_type, "time": time_ms, "data": dump_json(dict(data))}
    connection.execute(insert(events), row)


def record_new_collection(connection: Connection, collection: Collection, time_ms: int) -> None:
    """Queue the event of a new collection."""
    data = {"slug": collection.slug, "name": collection.name, "virtualAddress": collection.virtual_address}
    record_event(connection, collection.owner, GalleryEvent.COLLECTION_CREATED, time_ms, data)


def record_new_token(connection: Connection, token: Token, time_ms: int) -> None:
    """Queue the event of a new token."""
    data = {"tokenId": token.token_id, "collection": token.collection.slug, "name": token.name}
    record_event(connection, token.owner, GalleryEvent.TOKEN_CREATED, time_ms, data)


def record_media(connection: Connection, token: Token, media: TokenMedia, time_ms: int) -> None:
    """Queue the event of a token's picture, if it has one."""
    if media.status is MediaStatus.READY:
        data = {name: getattr(media, name) for name in ("asset", "sha256", "type", "width", "height", "frames")}
        data |= {"tokenId": token.token_id, "collection": token.collection.slug}
        record_event(connection, token.owner, GalleryEvent.MEDIA_READY, time_ms, data)


class EventQueue:
    """The queue in one database."""

    def __init__(self, engine: Engine) -> None:
        self._database = Database(engine)

    def read(self, limit: int) -> list[QueuedEvent]:
        """Return the oldest events."""
        with self._database.read() as connection:
            rows = connection.execute(select(events).order_by(events.c.id).limit(limit))
            return [
                QueuedEvent(row.id, row.owner, GalleryEvent(row.type), row.time, json.loads(row.data)) for row in rows
            ]

    def delete(self, event_ids: Sequence[int]) -> None:
        """Remove events that have been sent."""
        with self._database.write() as connection:
            connection.execute(delete(events).where(events.c.id.in_(event_ids)))
