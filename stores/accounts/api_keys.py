"""API keys: the owner's (``stores.accounts.owner_key``), and others stored in SQL as hashes.

Answers are cached, and streams check their key now and then, so that a changed, rotated or revoked key takes effect in
every process within a second.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Engine, insert, select, update

from ops.infra.clock import Clock
from schemas.accounts.caller import DEFAULT_SCOPES, OWNER, Caller, CallerLimits, Scope, parse_limits, parse_scopes
from schemas.errors import NotFound, Unauthorized
from stores.accounts.owner_key import OwnerKey, hash_key
from stores.sql import tables
from stores.sql.database import Database

KEY_PREFIX = "dr"
# Together with POLL_INTERVAL_S of stores.accounts.key_revocation, less than a second.
CACHE_TTL_S = 0.7
MAX_CACHED_KEYS = 10_000
# Not the hash of any key.
NO_HASH = "0" * 64
OWNER_CALLER = Caller(OWNER, OWNER)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeyChange:
    """New properties of a key; None leaves one as it is, an empty ``plan`` removes the plan."""

    name: str | None = None
    scopes: frozenset[Scope] | None = None
    limits: CallerLimits | None = None
    plan: str | None = None

    def columns(self) -> dict[str, Any]:
        """Return the columns to set."""
        columns = {
            "name": self.name,
            "scopes": None if self.scopes is None else " ".join(sorted(self.scopes)),
            "limits": None if self.limits is None else self.limits.to_text(),
            "plan": self.plan,
        }
        changed = {name: value for name, value in columns.items() if value is not None}
        return changed | ({"plan": None} if self.plan == "" else {})


DEFAULT_COLUMNS: Mapping[str, Any] = {"scopes": " ".join(sorted(DEFAULT_SCOPES)), "limits": "", "plan": None}


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """The caller behind a key id, and the version of the present key, which no other key under that id shares."""

    caller: Caller
    version: str


class ApiKeys:
    """The API keys of one installation."""

    def __init__(
        self, engine: Engine, clock: Clock, owner_key: OwnerKey, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``monotonic`` measures the age of cached answers, in seconds."""
        self._database = Database(engine)
        self._clock = clock
        self._owner_key = owner_key
        self._callers: _TTLCache[Caller | None] = _TTLCache(monotonic)
        self._owners: _TTLCache[KeyOwner | None] = _TTLCache(monotonic)

    def authenticate(self, key: str) -> Caller | None:
        """Return the caller who holds a key; None if the key is unknown or revoked.

        Raises:
            Unavailable: the database does not answer.
        """
        key_hash = hash_key(key)
        if hmac.compare_digest(key_hash, self._owner_key.read_hash()):
            return OWNER_CALLER
        return self._callers.get(key_hash, lambda: self._read_caller(_id_of(key), key_hash) if _id_of(key) else None)

    def authenticate_uncached(self, key: str) -> Caller | None:
        """Authenticate without the cache; every invalid key costs one database query, so that timing reveals nothing.

        Raises:
            Unavailable: the database does not answer.
        """
        self._owner_key.refresh()
        key_hash = hash_key(key)
        if hmac.compare_digest(key_hash, self._owner_key.read_hash()):
            return OWNER_CALLER
        return self._read_caller(_id_of(key), key_hash)

    def get_owner(self, key_id: str, *, refresh: bool = False) -> KeyOwner | None:
        """Return the owner of a key id; None if it is unknown or revoked. ``refresh`` bypasses the cache.

        Raises:
            Unavailable: the database does not answer.
        """
        if key_id == OWNER:
            if refresh:
                self._owner_key.refresh()
            return KeyOwner(OWNER_CALLER, _version_of_hash(self._owner_key.read_hash()))
        if refresh:
            self._owners.drop(key_id)
        return self._owners.get(key_id, lambda: self._read_owner(key_id))

    def _read_caller(self, key_id: str, key_hash: str) -> Caller | None:
        row = self._read_row(key_id)
        is_valid = hmac.compare_digest(key_hash, NO_HASH if row is None else row.secret_hash)
        return _to_caller(row) if is_valid else None

    def _read_owner(self, key_id: str) -> KeyOwner | None:
        row = self._read_row(key_id)
        return None if row is None else KeyOwner(_to_caller(row), _version_of_hash(row.secret_hash))

    def _read_row(self, key_id: str) -> Any:
        query = select(tables.api_keys).where(_is_valid(key_id))
        with self._database.read() as connection:
            return connection.execute(query).one_or_none()

    def create(self, name: str, change: KeyChange = KeyChange()) -> str:
        """Create and return a key; only its hash is stored."""
        key_id = secrets.token_hex(6)
        key = _generate_key(key_id)
        row = {"id": key_id, "name": name, "secret_hash": hash_key(key), "created_at": self._clock.now_ms()}
        with self._database.write() as connection:
            connection.execute(insert(tables.api_keys).values({**row, **DEFAULT_COLUMNS, **change.columns()}))
        return key

    def list_active(self) -> list[Caller]:
        """Return the caller of each valid key, the oldest first."""
        table = tables.api_keys
        query = select(table).where(table.c.revoked_at.is_(None)).order_by(table.c.created_at, table.c.id)
        with self._database.read() as connection:
            return [_to_caller(row) for row in connection.execute(query)]

    def list_limits(self) -> dict[str, CallerLimits]:
        """Return the limits of all keys that have any, by key id; jobs of revoked keys keep theirs."""
        table = tables.api_keys
        query = select(table.c.id, table.c.limits).where(table.c.limits != "")
        with self._database.read() as connection:
            return {row.id: parse_limits(row.limits) for row in connection.execute(query)}

    def update(self, key_id: str, change: KeyChange) -> None:
        """Change a key.

        Raises:
            NotFound: there is no such key.
        """
        self._update(key_id, change.columns())

    def rotate(self, key_id: str) -> str:
        """Replace a key by a new one with the same id, jobs, limits and plan, and return it.

        Raises:
            NotFound: there is no such key.
        """
        key = _generate_key(key_id)
        self._update(key_id, {"secret_hash": hash_key(key)})
        return key

    def regenerate(self, caller: Caller, current_key: str) -> str:
        """Replace the key that its caller holds and return the new one; here the old one is invalid at once.

        Raises:
            Unauthorized: ``current_key`` is no longer valid, for instance because of a concurrent call.
            Conflict, Unavailable: as ``OwnerKey.regenerate``, for the owner.
        """
        if caller.id == OWNER:
            return self._owner_key.regenerate(current_key)
        key = _generate_key(caller.id)
        is_current = _is_valid(caller.id) & (tables.api_keys.c.secret_hash == hash_key(current_key))
        with self._database.write() as connection:
            result = connection.execute(update(tables.api_keys).where(is_current).values(secret_hash=hash_key(key)))
        self._clear_caches()
        if not result.rowcount:
            raise Unauthorized
        return key

    def regenerate_of_session(self, caller: Caller) -> str:
        """Replace the key of a caller whose session is valid and return the new one; the caller's sessions end.

        Raises:
            NotFound: the key has been revoked; further errors as ``OwnerKey.regenerate``, for the owner.
        """
        return self._owner_key.regenerate() if caller.id == OWNER else self.rotate(caller.id)

    def revoke(self, key_id: str) -> None:
        """Revoke a key.

        Raises:
            NotFound: there is no such key.
        """
        self._update(key_id, {"revoked_at": self._clock.now_ms()})

    def _update(self, key_id: str, columns: Mapping[str, Any]) -> None:
        with self._database.write() as connection:
            row = connection.execute(select(tables.api_keys.c.id).where(_is_valid(key_id))).one_or_none()
            if row is None:
                raise NotFound(f"There is no key {key_id!r}.")
            if columns:
                connection.execute(update(tables.api_keys).where(_is_valid(key_id)).values(columns))
        self._clear_caches()

    def _clear_caches(self) -> None:
        self._callers.clear()
        self._owners.clear()


class _TTLCache(Generic[T]):
    """Values by name for CACHE_TTL_S."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._entries: dict[str, tuple[float, T]] = {}

    def get(self, name: str, load: Callable[[], T]) -> T:
        """Return the cached value, or load it."""
        entry = self._entries.get(name)
        if entry and entry[0] > self._monotonic():
            return entry[1]
        # From before the load: a change during it must take effect within the TTL too.
        expires_at = self._monotonic() + CACHE_TTL_S
        value = load()
        if len(self._entries) >= MAX_CACHED_KEYS:
            self._entries.clear()
        self._entries[name] = (expires_at, value)
        return value

    def drop(self, name: str) -> None:
        """Drop one value."""
        self._entries.pop(name, None)

    def clear(self) -> None:
        """Drop all values."""
        self._entries.clear()


def compute_key_version(key: str) -> str:
    """Return the version of a key, as in ``KeyOwner``; neither the key nor its hash can be derived from it."""
    return _version_of_hash(hash_key(key))


def _version_of_hash(key_hash: str) -> str:
    return hashlib.sha256(f"the version of {key_hash}".encode()).hexdigest()


def _is_valid(key_id: str) -> ColumnElement[bool]:
    return (tables.api_keys.c.id == key_id) & tables.api_keys.c.revoked_at.is_(None)


def _id_of(key: str) -> str:
    """Return the id in a key of our form; empty for any other."""
    prefix, _, rest = key.partition("_")
    key_id = rest.partition("_")[0]
    return key_id if prefix == KEY_PREFIX and key_id.isalnum() else ""


def _generate_key(key_id: str) -> str:
    return f"{KEY_PREFIX}_{key_id}_{secrets.token_hex(32)}"


def _to_caller(row: Any) -> Caller:
    return Caller(row.id, row.name, parse_scopes(row.scopes.split()), parse_limits(row.limits), row.plan)
