"""Owns API keys: the owner's, in a file that only the owner can read, and those of others, as hashes in SQL.

Called by ``api.auth`` for every request, and by the commands that make and revoke keys.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select, update

from ops.clock import Clock
from ops.secret_file import read_or_make
from schemas.errors import NotFound
from schemas.keys import OWNER, USUAL, Caller, Limits, Scope, read_limits, read_scopes
from stores import tables
from stores.sql import sql_errors

KEY_FILE = "api-key.json"
PREFIX = "dr"
REMEMBERED_S = 1.0
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key may do; None: as it was. An empty ``plan`` takes the plan away."""

    name: str | None = None
    scopes: frozenset[Scope] | None = None
    limits: Limits | None = None
    plan: str | None = None

    def values(self) -> dict[str, Any]:
        """The columns that this sets."""
        columns = {
            "name": self.name,
            "scopes": None if self.scopes is None else " ".join(sorted(self.scopes)),
            "limits": None if self.limits is None else self.limits.words(),
            "plan": self.plan,
        }
        set_ = {name: value for name, value in columns.items() if value is not None}
        return set_ | ({"plan": None} if self.plan == "" else {})


USUAL_GRANT: Mapping[str, Any] = {"scopes": " ".join(sorted(USUAL)), "limits": "", "plan": None}


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
        return _caller(row)

    def create(self, name: str, grant: Grant = Grant()) -> str:
        """A new key for somebody else; it is shown this once and kept as a hash only."""
        key_id = secrets.token_hex(6)
        key = _new_key(key_id)
        row = {"id": key_id, "name": name, "secret_hash": _hash(key), "created_at": self._clock.now_ms()}
        with self._engine.begin() as connection:
            connection.execute(insert(tables.keys).values({**row, **USUAL_GRANT, **grant.values()}))
        return key

    def listing(self) -> list[Caller]:
        """Whom each valid key belongs to, the oldest first."""
        valid = tables.keys.c.revoked_at.is_(None)
        query = select(tables.keys).where(valid).order_by(tables.keys.c.created_at, tables.keys.c.id)
        with self._engine.connect() as connection:
            return [_caller(row) for row in connection.execute(query)]

    def change(self, key_id: str, grant: Grant) -> None:
        """Let a key do something else from now on; every process believes it within a second.

        Raises:
            NotFound: there is no such key.
        """
        self._update(key_id, grant.values())

    def rotate(self, key_id: str) -> str:
        """A new key in place of one that is over within a second; jobs, limits and plan are as before.

        Raises:
            NotFound: there is no such key.
        """
        key = _new_key(key_id)
        self._update(key_id, {"secret_hash": _hash(key)})
        return key

    def revoke(self, key_id: str) -> None:
        """End a key; every process believes it within a second.

        Raises:
            NotFound: there is no such key.
        """
        self._update(key_id, {"revoked_at": self._clock.now_ms()})

    def _update(self, key_id: str, values: Mapping[str, Any]) -> None:
        valid = (tables.keys.c.id == key_id) & tables.keys.c.revoked_at.is_(None)
        with self._engine.begin() as connection:
            found = connection.execute(select(tables.keys.c.id).where(valid)).one_or_none()
            if found is None:
                raise NotFound(f"There is no key {key_id!r}.")
            if values:
                connection.execute(update(tables.keys).where(valid).values(values))


def owner_key(data_dir: Path, configured: str | None) -> str:
    """The owner's key: the one configured, else the one in the key file, which is made on the first call."""
    if configured:
        return configured
    text = read_or_make(data_dir / KEY_FILE, lambda: json.dumps({"key": secrets.token_hex(32)}))
    return str(json.loads(text)["key"])


def _new_key(key_id: str) -> str:
    return f"{PREFIX}_{key_id}_{secrets.token_hex(32)}"


def _caller(row: Any) -> Caller:
    return Caller(row.id, row.name, read_scopes(row.scopes.split()), read_limits(row.limits), row.plan)


def _hash(key: str) -> str:
    # Keys are 256 random bits, so a plain hash cannot be searched backwards.
    return hashlib.sha256(key.encode()).hexdigest()
