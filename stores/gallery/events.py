"""Events of the gallery, written in the transaction of the change; ``stores.gallery.event_publisher`` sends them on."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from schemas.gallery.events import GalleryEvent
from stores.gallery.tables import events
from stores.library.rows import dump_json


def record_event(
    connection: Connection, owner: str, event_type: GalleryEvent, time_ms: int, data: Mapping[str, Any]
) -> None:
    """Write an event that will reach the owner's webhooks and event streams once the transaction is committed."""
    row = {"owner": owner, "type": event_type, "time": time_ms, "data": dump_json(dict(data))}
    connection.execute(insert(events), row)
