"""The order of tokens in their collections, and moves to other collections.

Positions are numbers with gaps, so that a token goes between two others without changing theirs; when a gap is used up,
the collection is numbered again.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select, update

from ops.infra.clock import Clock
from schemas.errors import Conflict, Forbidden, Invalid, NotFound
from schemas.gallery.tokens import Token
from stores.gallery.collections import read_own
from stores.gallery.rows import GALLERY_LOCK_ID, select_tokens, token_from_row
from stores.gallery.tables import collections, tokens
from stores.gallery.token_lists import TOKEN_NOT_FOUND, TokenLists
from stores.gallery.visibility import Visibility
from stores.sql.database import Database

# The gap between neighbours that have not been moved.
POSITION_STEP = 1 << 20
MAX_REORDERED = 1000


class TokenOrder(TokenLists):
    """The tokens in one database, to be read and put in order."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database)
        self._clock = clock

    def move(
        self, caller_id: str, token_id: str, *, collection_id: int | None = None, before: str | None = None
    ) -> Token:
        """Move a token to before another one, or to the end, in its own collection or in another of the caller.

        Raises:
            NotFound, Forbidden: one of them does not exist, or is another caller's.
            Conflict: ``before`` is not in that collection.
        """
        with self._database.write_exclusively(GALLERY_LOCK_ID) as connection:
            token = read_own_token(connection, caller_id, token_id)
            target = token.collection.id if collection_id is None else collection_id
            _lock(connection, {token.collection.id, target})
            collection = read_own(connection, caller_id, target)
            if before is None:
                position = _end(connection, target)
            elif before.lower() == token.token_id:
                position = token.position
            else:
                position = _find_position_before(connection, target, before, token.id)
            values = {"collection_id": target, "position": position, "modified_at": self._clock.now_ms()}
            values["visibility"] = int(Visibility.of_collection(collection.status, explicit=collection.explicit))
            connection.execute(update(tokens).where(tokens.c.id == token.id).values(values))
            if target != token.collection.id:
                count_tokens(connection, token.collection.id, -1, self._clock.now_ms())
                count_tokens(connection, target, 1, self._clock.now_ms())
        return self.find(token_id)

    def reorder(self, caller_id: str, collection_id: int, token_ids: Sequence[str]) -> None:
        """Give tokens of a collection this order among themselves; the others keep their places.

        Raises:
            NotFound, Forbidden: the collection does not exist, or is another caller's.
            Invalid: a token is named twice, or too many are.
            Conflict: a token is not in the collection; none has been moved.
        """
        wanted = [token_id.lower() for token_id in token_ids]
        if len(set(wanted)) != len(wanted) or len(wanted) > MAX_REORDERED:
            raise Invalid(problems=[f"tokens: name each token once, and at most {MAX_REORDERED} of them."])
        with self._database.write_exclusively(GALLERY_LOCK_ID) as connection:
            read_own(connection, caller_id, collection_id)
            _lock(connection, {collection_id})
            query = select(tokens.c.token_id, tokens.c.id, tokens.c.position)
            rows = list(
                connection.execute(query.where(tokens.c.collection_id == collection_id, tokens.c.token_id.in_(wanted)))
            )
            ids = {row.token_id: row.id for row in rows}
            if missing := [token_id for token_id in wanted if token_id not in ids]:
                raise Conflict(f"{missing[0]} is not in this collection.", missing=missing)
            positions = sorted(row.position for row in rows)
            _write_positions(connection, [ids[token_id] for token_id in wanted], positions)
            count_tokens(connection, collection_id, 0, self._clock.now_ms())


def read_token(connection: Connection, token_id: str) -> Token:
    """Return a token, with its provenance; raises NotFound."""
    row = connection.execute(
        select_tokens(with_provenance=True).where(tokens.c.token_id == token_id.lower())
    ).one_or_none()
    if row is None:
        raise NotFound(TOKEN_NOT_FOUND)
    return token_from_row(row)


def read_own_token(connection: Connection, caller_id: str, token_id: str) -> Token:
    """Return a token of the caller; raises NotFound, and Forbidden for another caller's."""
    token = read_token(connection, token_id)
    if token.owner != caller_id:
        raise Forbidden("The token belongs to another caller.")
    return token


def count_tokens(connection: Connection, collection_id: int, change: int, now_ms: int) -> None:
    """Note that tokens of a collection have changed, and how many were added or removed."""
    values = {"token_count": collections.c.token_count + change, "modified_at": now_ms}
    connection.execute(update(collections).where(collections.c.id == collection_id).values(values))


def _lock(connection: Connection, collection_ids: set[int]) -> None:
    """Keep tokens from being added to collections; SQLite's transaction does that anyway."""
    query = select(collections.c.id).where(collections.c.id.in_(sorted(collection_ids))).order_by(collections.c.id)
    connection.execute(query.with_for_update())


def _end(connection: Connection, collection_id: int) -> int:
    statement = update(collections).where(collections.c.id == collection_id)
    statement = statement.values(last_position=collections.c.last_position + POSITION_STEP)
    return int(connection.execute(statement.returning(collections.c.last_position)).scalar_one())


def _find_position_before(connection: Connection, collection_id: int, before: str, moved: int) -> int:
    """Return a free position before a token, numbering the collection again if there is none."""
    for _ in range(2):
        in_collection = tokens.c.collection_id == collection_id
        at = select(tokens.c.position).where(in_collection, tokens.c.token_id == before.lower())
        upper = connection.execute(at).scalar_one_or_none()
        if upper is None:
            raise Conflict(f"{before} is not in this collection.")
        below = select(func.max(tokens.c.position)).where(
            in_collection, tokens.c.position < upper, tokens.c.id != moved
        )
        lower = connection.execute(below).scalar_one() or 0
        if upper - lower > 1:
            return int((lower + upper) // 2)
        _number_again(connection, collection_id)
    raise AssertionError("A collection that was numbered again has a gap before each token.")


def _number_again(connection: Connection, collection_id: int) -> None:
    query = select(tokens.c.id).where(tokens.c.collection_id == collection_id)
    ids = list(connection.execute(query.order_by(tokens.c.position, tokens.c.id)).scalars())
    _write_positions(connection, ids, [number * POSITION_STEP for number in range(1, len(ids) + 1)])
    last = {"last_position": (len(ids) + 1) * POSITION_STEP}
    connection.execute(update(collections).where(collections.c.id == collection_id).values(last))


def _write_positions(connection: Connection, ids: Sequence[int], positions: Sequence[int]) -> None:
    statement = update(tokens).where(tokens.c.id == bindparam("row_id")).values(position=bindparam("place"))
    rows = [{"row_id": row_id, "place": place} for row_id, place in zip(ids, positions, strict=True)]
    if rows:
        connection.execute(statement, rows)
