"""Assets: public names of content-addressed objects in the media store.

Several names may stand for one object. Each name belongs to one token, collection or profile, which releases it when
its picture changes; give another user of the same picture a name of its own. An object is deleted some time after its
last name has gone (``sweep``). To store an object: ``hold`` its key, put it, then add its names.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from sqlalchemy import Connection, delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ops.infra.clock import Clock
from schemas.errors import NotFound
from schemas.gallery.asset_names import icon_name
from schemas.gallery.assets import Asset
from stores.gallery.rows import GALLERY_LOCK_ID
from stores.gallery.tables import assets, objects
from stores.sql.database import Database

ASSET_NOT_FOUND = "Asset not found"
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
        """Protect objects from ``sweep`` for a while, before they are put; needed for every key each time."""
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

        ``delete_object`` deletes the object of a key while no process can hold that key.

        Raises:
            Unavailable: also if ``delete_object`` raises it; the object is swept another time.
        """
        unused = (objects.c.held_at < before_ms) & ~exists().where(assets.c.media_key == objects.c.media_key)
        with self._database.read() as connection:
            if connection.execute(select(objects.c.media_key).where(unused).limit(1)).first() is None:
                return False
        with self._database.write_exclusively(GALLERY_LOCK_ID) as connection:
            query = select(objects.c.media_key).where(unused).order_by(objects.c.held_at).limit(1)
            media_key = connection.execute(query.with_for_update(skip_locked=True)).scalar_one_or_none()
            if media_key is None:
                return False
            connection.execute(delete(objects).where(objects.c.media_key == media_key))
            delete_object(media_key)
        return True

    def list_media_keys(self, after: str = "", limit: int = 1000) -> list[str]:
        """Return keys of objects in order, those after ``after``."""
        query = select(objects.c.media_key).where(objects.c.media_key > after).order_by(objects.c.media_key)
        with self._database.read() as connection:
            return list(connection.execute(query.limit(limit)).scalars())


def hold_objects(database: Database, connection: Connection, media_keys: Iterable[str], now_ms: int) -> None:
    """Protect objects in a transaction; concurrent holders of the same keys wait for each other in the same order."""
    insert = postgresql.insert if database.dialect == "postgresql" else sqlite.insert
    for media_key in sorted(set(media_keys)):
        row = insert(objects).values(media_key=media_key, held_at=now_ms)
        connection.execute(row.on_conflict_do_update(index_elements=["media_key"], set_={"held_at": now_ms}))


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
