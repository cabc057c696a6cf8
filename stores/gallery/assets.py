"""Assets: public names of content-addressed objects in the media store.

Several names may refer to one object. Each name belongs to one token, collection or profile, which releases it when
its picture changes; give another user of the same picture a name of its own. An object is deleted some time after its
last name has gone (``sweep``). To store an object: ``hold`` its key, put it, then add its names.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ops.infra.clock import Clock
from schemas.errors import NotFound, Unavailable
from schemas.gallery.asset_names import icon_name
from schemas.gallery.assets import Asset
from stores.gallery.rows import GALLERY_LOCK_ID
from stores.gallery.tables import assets, objects
from stores.sql.database import Database

ASSET_NOT_FOUND = "Asset not found"
# Longer than a deletion can take, with all its retries. After that its process has died, or its request is lost.
DELETION_MS = 600_000
RETRY_AFTER_S = 10
_FIELDS = tuple(Asset.__dataclass_fields__)


class Assets:
    """The assets in one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def find(self, name: str) -> Asset:
        """Return an asset by its public name; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(assets).where(assets.c.name == name)).one_or_none()
        if row is None:
            raise NotFound(ASSET_NOT_FOUND)
        return Asset(*(getattr(row, field) for field in _FIELDS))

    def hold(self, media_keys: Collection[str]) -> None:
        """Protect objects from ``sweep`` for a while, before they are put; needed for every key each time.

        Raises:
            Unavailable: one of them is being deleted at this moment.
        """
        with self._database.write() as connection:
            hold_objects(self._database, connection, media_keys, self._clock.now_ms())

    def add(self, new: Sequence[Asset]) -> None:
        """Add names of objects that have been put."""
        with self._database.write() as connection:
            add_assets(self._database, connection, new, self._clock.now_ms())

    def release(self, names: Collection[str]) -> None:
        """Remove names; ``sweep`` deletes their objects once no other name is left."""
        with self._database.write() as connection:
            release_assets(connection, names, self._clock.now_ms())

    def sweep(self, before_ms: int, delete_object: Callable[[str], None]) -> bool:
        """Delete one object that has no name and was last held before ``before_ms``; return whether there was one.

        ``delete_object`` deletes the object of a key. No transaction is open meanwhile, and no process can hold the
        key.

        Raises:
            Unavailable: also if ``delete_object`` raises it; the object is swept again after DELETION_MS.
        """
        began_at = self._clock.now_ms()
        media_key = self._begin_deletion(before_ms, began_at)
        if media_key is None:
            return False
        delete_object(media_key)
        is_this = (objects.c.media_key == media_key) & (objects.c.deleting_since == began_at)
        with self._database.write() as connection:
            connection.execute(delete(objects).where(is_this))
        return True

    def _begin_deletion(self, before_ms: int, now_ms: int) -> str | None:
        """Mark an object as being deleted and return its key; None if there is none to delete."""
        is_named = exists().where(assets.c.media_key == objects.c.media_key)
        unused = select(objects.c.media_key).where(objects.c.held_at < before_ms, ~is_named, _may_be_held(now_ms))
        unused = unused.order_by(objects.c.held_at).limit(1)
        with self._database.read() as connection:
            if connection.execute(unused).first() is None:
                return None
        with self._database.write_exclusively(GALLERY_LOCK_ID) as connection:
            media_key: str | None = connection.execute(unused.with_for_update(skip_locked=True)).scalar_one_or_none()
            marking = update(objects).where(objects.c.media_key == media_key)
            connection.execute(marking.values(deleting_since=now_ms))
        return media_key

    def list_media_keys(self, after: str = "", limit: int = 1000) -> list[str]:
        """Return keys of objects in order, those after ``after``."""
        query = select(objects.c.media_key).where(objects.c.media_key > after).order_by(objects.c.media_key)
        with self._database.read() as connection:
            return list(connection.execute(query.limit(limit)).scalars())


def hold_objects(database: Database, connection: Connection, media_keys: Iterable[str], now_ms: int) -> None:
    """Protect objects in a transaction; concurrent holders of the same keys wait for each other in the same order.

    Raises:
        Unavailable: one of them is being deleted at this moment.
    """
    insert = postgresql.insert if database.dialect == "postgresql" else sqlite.insert
    for media_key in sorted(set(media_keys)):
        row = insert(objects).values(media_key=media_key, held_at=now_ms)
        held = {"held_at": now_ms, "deleting_since": None}
        row = row.on_conflict_do_update(index_elements=["media_key"], set_=held, where=_may_be_held(now_ms))
        if connection.execute(row.returning(objects.c.media_key)).first() is None:
            raise Unavailable(
                "The last copy of this picture is being deleted; add it again in a moment.", retry_after_s=RETRY_AFTER_S
            )


def _may_be_held(now_ms: int) -> ColumnElement[bool]:
    """Return the condition of the objects that are not being deleted."""
    return or_(objects.c.deleting_since.is_(None), objects.c.deleting_since < now_ms - DELETION_MS)


def add_assets(database: Database, connection: Connection, new: Sequence[Asset], now_ms: int) -> None:
    """Add names in a transaction."""
    if new:
        hold_objects(database, connection, (asset.media_key for asset in new), now_ms)
        rows = [{field: getattr(asset, field) for field in _FIELDS} | {"created_at": now_ms} for asset in new]
        connection.execute(assets.insert(), rows)


def release_assets(connection: Connection, names: Collection[str], now_ms: int) -> None:
    """Remove names in a transaction, those of thumbnails with their icons.

    Their objects stay for as long as a held one, so that readers can finish.
    """
    if names:
        of_names = assets.c.name.in_(sorted({*names, *map(icon_name, names)}))
        media_keys = sorted(connection.execute(select(assets.c.media_key).where(of_names)).scalars())
        connection.execute(delete(assets).where(of_names))
        connection.execute(update(objects).where(objects.c.media_key.in_(media_keys)).values(held_at=now_ms))
