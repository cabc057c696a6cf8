"""Owns API keys: the owner's, in a file that only the owner can read, and those of others, as hashes in SQL.

Called by ``api.auth`` for every request, and by the commands that make and revoke keys.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, insert, select, update

from ops.clock import Clock
from ops.secret_file import read_or_make
from schemas.errors import NotFound
from schemas.keys import OWNER, Caller
from stores import tables
from stores.sql import sql_errors

KEY_FILE = "api-key.json"
PREFIX = "dr"
REMEMBERED_S = 1.0
MOST_REMEMBERED = 10_000


class Keys:
    """Who a key belongs to."""

    def __init__(
        self, engine: Engine, clock: Clock, owner_key: str, tick: Callable[[], float] = time.monotonic
    ) -> None:
        """``tick`` counts seconds, for how long an answer of the database is believed."""
        self._engine = engine
        self._clock = clock
        self._owner_hash = _hash(owner_key)
        self._tick = tick
        self._remembered: dict[str, tuple[float, Caller | None]] = {}

    def caller(self, key: str) -> Caller | None:
        """Whose key this is; None if it is nobody's (any more).

        Raises:
            Unavailable: the database does not answer.
        """
        hashed = _hash(key)
        if hmac.compare_digest(hashed, self._owner_hash):
            return Caller(OWNER, OWNER)
        known = self._remembered.get(hashed)
        if known and known[0] > self._tick():
            return known[1]
        caller = self._look_up(key, hashed)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[hashed] = (self._tick() + REMEMBERED_S, caller)
        return caller

    def _look_up(self, key: str, hashed: str) -> Caller | None:
        prefix, _, rest = key.partition("_")
        key_id = rest.partition("_")[0]
        if prefix != PREFIX or not key_id.isalnum():
            return None
        query = select(tables.keys).where(tables.keys.c.id == key_id, tables.keys.c.revoked_at.is_(None))
        with sql_errors(), self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or not hmac.compare_digest(hashed, row.secret_hash):
            return None
        return Caller(row.id, row.name)

    def create(self, name: str) -> str:
        """A new key for somebody else; it is shown this once and kept as a hash only."""
        key_id = secrets.token_hex(6)
        key = f"{PREFIX}_{key_id}_{secrets.token_hex(32)}"
        row = {"id": key_id, "name": name, "secret_hash": _hash(key), "created_at": self._clock.now_ms()}
        with self._engine.begin() as connection:
            connection.execute(insert(tables.keys).values(row))
        return key

    def listing(self) -> list[tuple[str, str]]:
        """Id and name of each valid key, the oldest first."""
        valid = tables.keys.c.revoked_at.is_(None)
        query = select(tables.keys.c.id, tables.keys.c.name).where(valid).order_by(tables.keys.c.created_at)
        with self._engine.connect() as connection:
            return [(row.id, row.name) for row in connection.execute(query)]

    def revoke(self, key_id: str) -> None:
        """End a key; every process believes it within a second.

        Raises:
            NotFound: there is no such key.
        """
        change = update(tables.keys).where(tables.keys.c.id == key_id).values(revoked_at=self._clock.now_ms())
        with self._engine.begin() as connection:
            if connection.execute(change).rowcount == 0:
                raise NotFound(f"There is no key {key_id!r}.")


def owner_key(data_dir: Path, configured: str | None) -> str:
    """The owner's key: the one configured, else the one in the key file, which is made on the first call."""
    if configured:
        return configured
    text = read_or_make(data_dir / KEY_FILE, lambda: json.dumps({"key": secrets.token_hex(32)}))
    return str(json.loads(text)["key"])


def _hash(key: str) -> str:
    # Keys are 256 random bits, so a plain hash cannot be searched backwards.
    return hashlib.sha256(key.encode()).hexdigest()
