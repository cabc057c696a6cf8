"""Collections: creation, renaming with redirects, deletion, and their lists."""

import uuid
from collections.abc import Mapping
from typing import Any

from Crypto.Hash import keccak
from sqlalchemy import Connection, delete, func, insert, select, update

from ops.infra.clock import Clock
from schemas.errors import Conflict, Forbidden, NotFound
from schemas.gallery.collections import (
    COLLECTION_CHANGES,
    Collection,
    CollectionStatus,
    FoundCollection,
    NewCollection,
)
from schemas.gallery.encodings import is_address
from schemas.gallery.pages import Listed, Page
from schemas.gallery.slugs import SLUG, check_slug, make_slug
from stores.accounts.wallet_addresses import ADDRESS_BYTES, to_eip55
from stores.gallery.assets import release_assets
from stores.gallery.events import record_media, record_new_collection, record_new_token
from stores.gallery.paging import Keyset
from stores.gallery.profiles import Profiles, check_names
from stores.gallery.rows import (
    GALLERY_LOCK_ID,
    collection_from_row,
    select_collections,
    select_tokens,
    token_from_row,
)
from stores.gallery.slugs import take_slug
from stores.gallery.tables import collections, profiles, slugs, tokens
from stores.gallery.visibility import Visibility
from stores.sql.database import Database

NOT_FOUND = "Collection not found"
_NEWEST_FIRST = Keyset(collections.c.created_at, collections.c.id, descending=True)


class Collections:
    """The collections in one database. Methods that change one take the id of the caller, who must be its owner."""

    def __init__(self, database: Database, clock: Clock, profiles: Profiles) -> None:
        self._database = database
        self._clock = clock
        self._profiles = profiles

    def create(self, owner: str, fields: NewCollection, *, is_draft: bool = False) -> Collection:
        """Create a collection; without a slug it gets one that is made from its name.

        A draft is archived, so no list of all collections has it, and sends no event until it is published.

        Raises:
            Conflict: the slug is taken; ``suggestion`` in the details is free.
            Invalid: the slug is malformed or reserved.
        """
        self._profiles.get_or_create(owner)
        slug, now_ms = _slug_of(fields.name, fields.slug), self._clock.now_ms()
        address = to_eip55(keccak.new(digest_bits=256, data=uuid.uuid4().bytes).digest()[-ADDRESS_BYTES:])
        names = ("name", "description", "explicit", "thumbnail", "royalty_fee")
        row = {name: getattr(fields, name) for name in names} | {
            "owner": owner,
            # Unique until the slug itself is known to be free.
            "slug": address.lower(),
            "status": CollectionStatus.ARCHIVED if is_draft else CollectionStatus.ACTIVE,
            "virtual_address": address,
            "virtual_key": address.lower(),
            "token_count": 0,
            "last_position": 0,
            "created_at": now_ms,
            "modified_at": now_ms,
        }
        with self._database.write() as connection:
            key = connection.execute(insert(collections).values(row)).inserted_primary_key
            collection_id = int(key[0])  # type: ignore[index] # the table has an integer id
            take_slug(self._database, connection, slug, collection_id, now_ms)
            connection.execute(update(collections).where(collections.c.id == collection_id).values(slug=slug))
            if not is_draft:
                record_new_collection(connection, _read(connection, collections.c.id == collection_id), now_ms)
        return self.get(collection_id)

    def publish(self, caller_id: str, collection_id: int, status: CollectionStatus) -> Collection:
        """Give a draft its status, and queue the events of it and of its tokens.

        Raises:
            NotFound, Forbidden: there is no such collection, or it is another caller's.
        """
        now_ms = self._clock.now_ms()
        with self._database.write_exclusively(GALLERY_LOCK_ID) as connection:
            old = read_own(connection, caller_id, collection_id)
            of_id = collections.c.id == collection_id
            connection.execute(update(collections).where(of_id).values(status=status, modified_at=now_ms))
            new = _read(connection, of_id)
            _update_visibility(connection, old, new)
            record_new_collection(connection, new, now_ms)
            of_collection = select_tokens().where(tokens.c.collection_id == collection_id)
            for row in connection.execute(of_collection.order_by(tokens.c.position, tokens.c.id)).all():
                token = token_from_row(row)
                record_new_token(connection, token, now_ms)
                record_media(connection, token, token.media, now_ms)
        return new

    def get(self, collection_id: int) -> Collection:
        """Return a collection by its id; raises NotFound."""
        with self._database.read() as connection:
            return _read(connection, collections.c.id == collection_id)

    def find(self, slug_or_address: str) -> FoundCollection:
        """Return the collection of a slug, of a slug that it had before, or of a virtual address; raises NotFound."""
        name = slug_or_address.strip().lower()
        if not (is_address(name) or SLUG.fullmatch(name)):
            # PostgreSQL refuses some texts as values, instead of not finding them.
            raise NotFound(NOT_FOUND)
        with self._database.read() as connection:
            if is_address(name):
                return FoundCollection(_read(connection, collections.c.virtual_key == name))
            of_slug = select(slugs.c.collection_id).where(slugs.c.slug == name).scalar_subquery()
            collection = _read(connection, collections.c.id == of_slug)
        return FoundCollection(collection, None if collection.slug == name else name)

    def update(self, caller_id: str, collection_id: int, changes: Mapping[str, Any]) -> Collection:
        """Change fields of a collection (COLLECTION_CHANGES).

        A new slug leaves the old one as a redirect. If the slug was made from the name, a new name makes a new slug.

        Raises:
            Conflict: the slug is taken; ``suggestion`` in the details is free.
            Invalid: the slug is malformed or reserved, or a field is unknown.
            NotFound, Forbidden: there is no such collection, or it is another caller's.
        """
        check_names(changes, COLLECTION_CHANGES)
        now_ms, values = self._clock.now_ms(), dict(changes)
        with self._database.write_exclusively(GALLERY_LOCK_ID) as connection:
            old = read_own(connection, caller_id, collection_id)
            slug = _changed_slug(old, changes)
            if slug != old.slug:
                take_slug(self._database, connection, slug, collection_id, now_ms)
            values |= {"slug": slug, "modified_at": now_ms}
            connection.execute(update(collections).where(collections.c.id == collection_id).values(**values))
            if "thumbnail" in changes and old.thumbnail and changes["thumbnail"] != old.thumbnail:
                release_assets(connection, [old.thumbnail], now_ms)
            new = _read(connection, collections.c.id == collection_id)
            _update_visibility(connection, old, new)
        return new

    def delete(self, caller_id: str, collection_id: int) -> Collection:
        """Delete an empty collection and its slugs, which become free; return what it was.

        Raises:
            Conflict: it has tokens.
            NotFound, Forbidden: there is no such collection, or it is another caller's.
        """
        with self._database.write_exclusively(GALLERY_LOCK_ID) as connection:
            # Locked against a token that is being added: PostgreSQL would only fail on the foreign key.
            own = collections.c.id == collection_id
            connection.execute(select(collections.c.id).where(own).with_for_update())
            collection = read_own(connection, caller_id, collection_id)
            if collection.token_count:
                raise Conflict(
                    f"The collection has {collection.token_count} tokens: move or delete them first, or archive it."
                )
            connection.execute(delete(collections).where(own))
            if collection.thumbnail:
                release_assets(connection, [collection.thumbnail], self._clock.now_ms())
        return collection

    def list_latest(self, page: Page) -> Listed[Collection]:
        """Return a page of all active collections, the newest first."""
        active = collections.c.status == CollectionStatus.ACTIVE
        shown = [active & (collections.c.explicit == value) for value in page.explicit.shown]
        return self._list(page, shown, active & collections.c.explicit.in_(page.explicit.hidden))

    def list_of_owner(self, address: str, page: Page, *, with_archived: bool = False) -> Listed[Collection]:
        """Return a page of the collections of an address, the newest first; none for an unknown address."""
        caller = select(profiles.c.caller).where(profiles.c.address_key == address.lower()).scalar_subquery()
        of_owner = collections.c.owner == caller
        if not with_archived:
            of_owner &= collections.c.status == CollectionStatus.ACTIVE
        shown = of_owner & collections.c.explicit.in_(page.explicit.shown)
        return self._list(page, [shown], of_owner & collections.c.explicit.in_(page.explicit.hidden))

    def _list(self, page: Page, shown: list[Any], hidden: Any) -> Listed[Collection]:
        with self._database.read() as connection:
            rows, next_cursor = _NEWEST_FIRST.read(connection, select_collections(), page, *shown)
            count = 0
            if page.explicit.hidden:
                count = connection.execute(select(func.count()).select_from(collections).where(hidden)).scalar_one()
        return Listed(tuple(map(collection_from_row, rows)), next_cursor, count)


def read_own(connection: Connection, caller_id: str, collection_id: int) -> Collection:
    """Return a collection of the caller; raises NotFound, and Forbidden for another caller's."""
    collection = _read(connection, collections.c.id == collection_id)
    if collection.owner != caller_id:
        raise Forbidden(f"The collection {collection.slug!r} belongs to another caller.")
    return collection


def _read(connection: Connection, condition: Any) -> Collection:
    row = connection.execute(select_collections().where(condition)).one_or_none()
    if row is None:
        raise NotFound(NOT_FOUND)
    return collection_from_row(row)


def _slug_of(name: str, slug: str | None) -> str:
    return make_slug(name) if slug is None else check_slug(slug)


def _changed_slug(old: Collection, changes: Mapping[str, Any]) -> str:
    if changes.get("slug") is not None:
        return check_slug(changes["slug"])
    follows_name = old.slug == make_slug(old.name)
    return make_slug(changes["name"]) if "name" in changes and follows_name else old.slug


def _update_visibility(connection: Connection, old: Collection, new: Collection) -> None:
    """Copy a changed status or explicit flag to the tokens."""
    visibility = Visibility.of_collection(new.status, explicit=new.explicit)
    if visibility != Visibility.of_collection(old.status, explicit=old.explicit):
        of_collection = tokens.c.collection_id == new.id
        connection.execute(update(tokens).where(of_collection).values(visibility=visibility))
