"""Tokens: reservation of their ids, creation, changes, order, pictures and deletion."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from ops.infra.clock import Clock
from schemas.errors import Conflict, Forbidden, Invalid, NotFound
from schemas.gallery.assets import Asset
from schemas.gallery.collections import Collection
from schemas.gallery.provenance import list_kept_inputs
from schemas.gallery.tokens import (
    TOKEN_CHANGES,
    Listing,
    MediaStatus,
    NewToken,
    Token,
    TokenMedia,
    format_token_id,
    is_token_id,
    split_token_id,
)
from stores.gallery.assets import add_assets, release_assets
from stores.gallery.collections import NOT_FOUND
from stores.gallery.events import record_media, record_new_token
from stores.gallery.profiles import Profiles, check_names
from stores.gallery.rows import (
    GALLERY_LOCK_ID,
    listing_to_column,
    media_to_columns,
    new_token_to_columns,
    provenance_to_columns,
)
from stores.gallery.tables import collections, profiles, provenance, tokens
from stores.gallery.token_order import POSITION_STEP, TokenOrder, count_tokens, read_own_token, read_token
from stores.gallery.visibility import Visibility
from stores.library.rows import dump_json
from stores.sql.database import Database


class Tokens(TokenOrder):
    """The tokens in one database. Methods that change one take the id of the caller, who must be its owner."""

    def __init__(self, database: Database, clock: Clock, profiles: Profiles) -> None:
        super().__init__(database, clock)
        self._profiles = profiles

    def reserve_id(self, caller_id: str) -> str:
        """Return the next token id of a caller; it is returned once, whether a token is made of it or not."""
        self._profiles.get_or_create(caller_id)
        with self._database.write() as connection:
            return _reserve(connection, caller_id)

    def create(self, caller_id: str, collection: Collection, token_id: str, fields: NewToken) -> Token:
        """Create a token at the end of a collection.

        Raises:
            Forbidden: the id was not reserved by this caller, or the collection is another caller's.
            Conflict: there is a token with this id.
            Invalid: the id is malformed.
            NotFound: the collection has gone.
        """
        if not is_token_id(token_id):
            raise Invalid(problems=["tokenId: must be '0x' and 64 hexadecimal digits, as 'next' returns it."])
        token_id = token_id.lower()
        with self._database.write() as connection:
            place = self._append(connection, caller_id, collection.id)
            _check_reserved(connection, caller_id, token_id)
            self._insert(connection, caller_id, place, token_id, fields)
            token = read_token(connection, token_id)
            record_new_token(connection, token, self._clock.now_ms())
        return token

    def add_from_job(
        self,
        caller_id: str,
        collection: Collection,
        fields: NewToken,
        media: TokenMedia,
        assets: Sequence[Asset],
        *,
        is_draft: bool = False,
    ) -> Token:
        """Reserve an id and create a token with its picture, whose objects have been put, in one transaction.

        That of a draft sends no events until the collection is published.

        Raises:
            NotFound, Forbidden: the collection has gone, or is another caller's.
        """
        self._profiles.get_or_create(caller_id)
        with self._database.write() as connection:
            place = self._append(connection, caller_id, collection.id)
            token_id = _reserve(connection, caller_id)
            self._insert(connection, caller_id, place, token_id, fields)
            token = read_token(connection, token_id)
            self._attach(connection, token, media, assets)
            if not is_draft:
                record_new_token(connection, token, self._clock.now_ms())
                record_media(connection, token, media, self._clock.now_ms())
            return read_token(connection, token_id)

    def count_picture_bytes(self, collection: Collection) -> int:
        """Return the size of all pictures of a collection, without their derived files."""
        query = select(func.coalesce(func.sum(tokens.c.size_bytes), 0))
        with self._database.read() as connection:
            return int(connection.execute(query.where(tokens.c.collection_id == collection.id)).scalar_one())

    def update(self, caller_id: str, token_id: str, changes: Mapping[str, Any]) -> Token:
        """Change fields of a token (TOKEN_CHANGES).

        Raises:
            NotFound, Forbidden: there is no such token, or it is another caller's.
            Invalid: a field is unknown.
        """
        check_names(changes, TOKEN_CHANGES)
        values = {name: value for name, value in changes.items() if name != "provenance"}
        if "attributes" in values:
            values["attributes"] = dump_json(list(values["attributes"]))
        with self._database.write() as connection:
            token = self._change(connection, caller_id, token_id, **values)
            if "provenance" in changes:
                connection.execute(delete(provenance).where(provenance.c.token_row == token.id))
                _insert_provenance(connection, token.id, changes["provenance"])
        return self.find(token_id)

    def set_listing(self, caller_id: str, token_id: str, listing: Listing | None) -> Token:
        """Set or remove the offer of a token; raises as ``update``."""
        with self._database.write() as connection:
            self._change(connection, caller_id, token_id, listing=listing_to_column(listing))
        return self.find(token_id)

    def request_refresh(self, caller_id: str, token_id: str) -> Token:
        """Note that the picture's derived files are to be made again; raises as ``update``."""
        with self._database.write() as connection:
            self._change(connection, caller_id, token_id, refresh_requested_at=self._clock.now_ms())
        return self.find(token_id)

    def delete(self, caller_id: str, token_id: str) -> Token:
        """Delete a token and release its assets; return what it was. Raises as ``update``.

        Its id stays reserved, so its owner can create it again.
        """
        # Excludes moves, which would change the collection that counts the token.
        with self._database.write_exclusively(GALLERY_LOCK_ID) as connection:
            token = self._change(connection, caller_id, token_id)
            connection.execute(delete(tokens).where(tokens.c.id == token.id))
            count_tokens(connection, token.collection.id, -1, self._clock.now_ms())
            names = (*token.media.assets, *list_kept_inputs(token.provenance))
            release_assets(connection, names, self._clock.now_ms())
        return token

    def attach_media(
        self, token_id: str, media: TokenMedia, assets: Sequence[Asset] = (), *, expected_asset: str | None = None
    ) -> Token:
        """Set the picture of a token. ``assets`` are new names of it, whose objects have been put.

        Names that the token had and ``media`` does not mention are released.

        Raises:
            NotFound: the token has gone; no name was added.
            Conflict: the picture of the token is not ``expected_asset`` any more; no name was added.
        """
        with self._database.write() as connection:
            # The first statement writes, so SQLite's lock is held, and the row's in PostgreSQL, when it is read.
            of_id = tokens.c.token_id == token_id.lower()
            connection.execute(update(tokens).where(of_id).values(modified_at=self._clock.now_ms()))
            token = read_token(connection, token_id)
            if expected_asset is not None and token.media.asset != expected_asset:
                raise Conflict("The token has another picture now.")
            self._attach(connection, token, media, assets)
            record_media(connection, token, media, self._clock.now_ms())
        return self.find(token_id)

    def set_media_status(
        self, token_id: str, before: AbstractSet[MediaStatus], status: MediaStatus, reason: str | None = None
    ) -> bool:
        """Change the status of a token that has no picture, if it is one of ``before``; return whether it was."""
        of_id = (tokens.c.token_id == token_id.lower()) & tokens.c.media_status.in_(sorted(before))
        values = {"media_status": status, "media_reason": reason, "modified_at": self._clock.now_ms()}
        with self._database.write() as connection:
            return connection.execute(update(tokens).where(of_id).values(**values)).rowcount == 1

    def _attach(self, connection: Connection, token: Token, media: TokenMedia, assets: Sequence[Asset]) -> None:
        now_ms = self._clock.now_ms()
        add_assets(self._database, connection, assets, now_ms)
        connection.execute(update(tokens).where(tokens.c.id == token.id).values(media_to_columns(media)))
        release_assets(connection, sorted(set(token.media.assets) - set(media.assets)), now_ms)

    def _append(self, connection: Connection, caller_id: str, collection_id: int) -> Any:
        """Take a place at the end of a collection of the caller."""
        of_id = collections.c.id == collection_id
        place = connection.execute(
            update(collections)
            .where(of_id, collections.c.owner == caller_id)
            .values(
                token_count=collections.c.token_count + 1,
                last_position=collections.c.last_position + POSITION_STEP,
                modified_at=self._clock.now_ms(),
            )
            .returning(
                *(collections.c.id, collections.c.status),
                *(collections.c.explicit, collections.c.last_position),
            )
        ).one_or_none()
        if place is None:
            if connection.execute(select(collections.c.id).where(of_id)).first() is None:
                raise NotFound(NOT_FOUND)
            raise Forbidden("The collection belongs to another caller.")
        return place

    def _insert(self, connection: Connection, caller_id: str, place: Any, token_id: str, fields: NewToken) -> None:
        now_ms = self._clock.now_ms()
        row = new_token_to_columns(fields) | {
            "token_id": token_id,
            "collection_id": place.id,
            "owner": caller_id,
            "visibility": int(Visibility.of_collection(place.status, explicit=place.explicit)),
            "position": place.last_position,
            "media_status": MediaStatus.NONE,
            "created_at": now_ms,
            "modified_at": now_ms,
        }
        statement = self._database.insert_or_ignore(tokens).values(row).returning(tokens.c.id)
        row_id = connection.execute(statement).scalar_one_or_none()
        if row_id is None:
            raise Conflict(f"There is a token {token_id} already; reserve another id with 'next'.")
        if fields.provenance is not None:
            _insert_provenance(connection, row_id, fields.provenance)

    def _change(self, connection: Connection, caller_id: str, token_id: str, **values: Any) -> Token:
        """Change columns of a token of the caller, whose row is locked from then on; return what it was before."""
        of_id = tokens.c.token_id == token_id.lower()
        own = of_id & (tokens.c.owner == caller_id)
        connection.execute(update(tokens).where(own).values(modified_at=self._clock.now_ms()))
        token = read_own_token(connection, caller_id, token_id)
        if values:
            connection.execute(update(tokens).where(own).values(**values))
        return token


def _reserve(connection: Connection, caller_id: str) -> str:
    statement = update(profiles).where(profiles.c.caller == caller_id)
    statement = statement.values(last_number=profiles.c.last_number + 1)
    row = connection.execute(statement.returning(profiles.c.address_key, profiles.c.last_number)).one()
    return format_token_id(row.address_key, row.last_number)


def _check_reserved(connection: Connection, caller_id: str, token_id: str) -> None:
    address, number = split_token_id(token_id)
    query = select(profiles.c.address_key, profiles.c.last_number).where(profiles.c.caller == caller_id)
    own = connection.execute(query).one_or_none()
    if own is None or own.address_key != address:
        raise Forbidden("The token id begins with another caller's address; get ids of your own from 'next'.")
    if not 1 <= number <= own.last_number:
        raise Forbidden("The token id is not reserved; get one from 'next'.")


def _insert_provenance(connection: Connection, token_row: int, record: Mapping[str, Any] | None) -> None:
    if record is not None:
        connection.execute(insert(provenance), {"token_row": token_row, **provenance_to_columns(record)})
