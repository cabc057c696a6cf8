"""Whose an API key is: the owner's (``stores.accounts.owner_key``), or another one's, kept as a hash in SQL."""

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
from stores.sql.errors import sql_errors

KEY_PREFIX = "dr"
CACHE_TTL_S = 1.0
MAX_CACHED_KEYS = 10_000
# What no key has as its hash.
NO_HASH = "0" * 64
OWNER_CALLER = Caller(OWNER, OWNER)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What a key may do; None: as it was. An empty ``plan`` takes the plan away."""

    name: str | None = None
    scopes: frozenset[Scope] | None = None
    limits: CallerLimits | None = None
    plan: str | None = None

    def columns(self) -> dict[str, Any]:
        """The columns that this sets."""
        columns = {
            "name": self.name,
            "scopes": None if self.scopes is None else " ".join(sorted(self.scopes)),
            "limits": None if self.limits is None else self.limits.to_text(),
            "plan": self.plan,
        }
        set_ = {name: value for name, value in columns.items() if value is not None}
        return set_ | ({"plan": None} if self.plan == "" else {})


DEFAULT_COLUMNS: Mapping[str, Any] = {"scopes": " ".join(sorted(DEFAULT_SCOPES)), "limits": "", "plan": None}


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Who holds a key now, and the key's version, which no other key in its place will have."""

    caller: Caller
    version: str


class ApiKeys:
    """Who a key belongs to."""

    def __init__(
        self, engine: Engine, clock: Clock, owner_key: OwnerKey, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``tick`` counts seconds, for how long an answer of the database is believed."""
        self._engine = engine
        self._clock = clock
        self._owner_key = owner_key
        self._callers: _TTLCache[Caller | None] = _TTLCache(monotonic)
        self._holders: _TTLCache[KeyOwner | None] = _TTLCache(monotonic)

    def authenticate(self, key: str) -> Caller | None:
        """Whose key this is; None if it is nobody's (any more).

        Raises:
            Unavailable: the database does not answer.
        """
        own = hash_key(key)
        if hmac.compare_digest(own, self._owner_key.read_hash()):
            return OWNER_CALLER
        return self._callers.get(own, lambda: self._look_up(_id_of(key), own) if _id_of(key) else None)

    def authenticate_uncached(self, key: str) -> Caller | None:
        """Whose key this is, asked anew: whatever is wrong with a key, to find it out takes the same steps.

        Raises:
            Unavailable: the database does not answer.
        """
        self._owner_key.refresh()
        own = hash_key(key)
        if hmac.compare_digest(own, self._owner_key.read_hash()):
            return OWNER_CALLER
        return self._look_up(_id_of(key), own)

    def get_owner(self, key_id: str, *, refresh: bool = False) -> KeyOwner | None:
        """Who holds the key of that id; None if it was revoked or never was. ``anew``: now, not a second ago.

        Raises:
            Unavailable: the database does not answer.
        """
        if key_id == OWNER:
            if refresh:
                self._owner_key.refresh()
            return KeyOwner(OWNER_CALLER, _version(self._owner_key.read_hash()))
        if refresh:
            self._holders.drop(key_id)
        return self._holders.get(key_id, lambda: self._look_for_holder(key_id))

    def _look_up(self, key_id: str, own: str) -> Caller | None:
        row = self._row(key_id)
        right = hmac.compare_digest(own, NO_HASH if row is None else row.secret_hash)
        return _caller(row) if right else None

    def _look_for_holder(self, key_id: str) -> KeyOwner | None:
        row = self._row(key_id)
        return None if row is None else KeyOwner(_caller(row), _version(row.secret_hash))

    def _row(self, key_id: str) -> Any:
        query = select(tables.api_keys).where(_valid(key_id))
        with sql_errors(), self._engine.connect() as connection:
            return connection.execute(query).one_or_none()

    def create(self, name: str, change: KeyChange = KeyChange()) -> str:
        """A new key for somebody else; it is shown this once and kept as a hash only."""
        key_id = secrets.token_hex(6)
        key = _new_key(key_id)
        row = {"id": key_id, "name": name, "secret_hash": hash_key(key), "created_at": self._clock.now_ms()}
        with self._engine.begin() as connection:
            connection.execute(insert(tables.api_keys).values({**row, **DEFAULT_COLUMNS, **change.columns()}))
        return key

    def list_active(self) -> list[Caller]:
        """Whom each valid key belongs to, the oldest first."""
        valid = tables.api_keys.c.revoked_at.is_(None)
        query = select(tables.api_keys).where(valid).order_by(tables.api_keys.c.created_at, tables.api_keys.c.id)
        with self._engine.connect() as connection:
            return [_caller(row) for row in connection.execute(query)]

    def update(self, key_id: str, change: KeyChange) -> None:
        """Let a key do something else from now on; every process believes it within a second.

        Raises:
            NotFound: there is no such key.
        """
        self._update(key_id, change.columns())

    def rotate(self, key_id: str) -> str:
        """A new key in place of one that is over within a second; jobs, limits and plan are as before.

        Raises:
            NotFound: there is no such key.
        """
        key = _new_key(key_id)
        self._update(key_id, {"secret_hash": hash_key(key)})
        return key

    def regenerate(self, caller: Caller, current_key: str) -> str:
        """A new key in place of the one that its caller holds, which is over here at once and elsewhere in a second.

        Raises:
            Unauthorized: it is over already: of two who ask at once only one is answered with a key.
            Conflict, Unavailable: as ``OwnerKey.regenerate`` does, for the owner.
        """
        if caller.id == OWNER:
            return self._owner_key.regenerate(current_key)
        key = _new_key(caller.id)
        this = _valid(caller.id) & (tables.api_keys.c.secret_hash == hash_key(current_key))
        with sql_errors(), self._engine.begin() as connection:
            done = connection.execute(update(tables.api_keys).where(this).values(secret_hash=hash_key(key)))
        self._forget()
        if not done.rowcount:
            raise Unauthorized
        return key

    def revoke(self, key_id: str) -> None:
        """End a key; every process believes it within a second.

        Raises:
            NotFound: there is no such key.
        """
        self._update(key_id, {"revoked_at": self._clock.now_ms()})

    def _update(self, key_id: str, values: Mapping[str, Any]) -> None:
        with self._engine.begin() as connection:
            found = connection.execute(select(tables.api_keys.c.id).where(_valid(key_id))).one_or_none()
            if found is None:
                raise NotFound(f"There is no key {key_id!r}.")
            if values:
                connection.execute(update(tables.api_keys).where(_valid(key_id)).values(values))
        self._forget()

    def _forget(self) -> None:
        self._callers.clear()
        self._holders.clear()


class _TTLCache(Generic[T]):
    """What was answered within the last second."""

    def __init__(self, tick: Callable[[], float]) -> None:
        self._tick = tick
        self._known: dict[str, tuple[float, T]] = {}

    def get(self, name: str, ask: Callable[[], T]) -> T:
        """The answer that is known, or a new one."""
        known = self._known.get(name)
        if known and known[0] > self._tick():
            return known[1]
        # Counted from the question on: what changes while it is answered is known a second later all the same.
        until = self._tick() + CACHE_TTL_S
        answer = ask()
        if len(self._known) >= MAX_CACHED_KEYS:
            self._known.clear()
        self._known[name] = (until, answer)
        return answer

    def drop(self, name: str) -> None:
        """Forget one answer."""
        self._known.pop(name, None)

    def clear(self) -> None:
        """Forget all of it."""
        self._known.clear()


def compute_key_version(key: str) -> str:
    """The version of a key, as ``Holder`` has it: it tells keys apart and says nothing of them."""
    return _version(hash_key(key))


def _version(own: str) -> str:
    return hashlib.sha256(f"the version of {own}".encode()).hexdigest()


def _valid(key_id: str) -> ColumnElement[bool]:
    return (tables.api_keys.c.id == key_id) & tables.api_keys.c.revoked_at.is_(None)


def _id_of(key: str) -> str:
    """The id that a key of our shape names; nothing for any other."""
    prefix, _, rest = key.partition("_")
    key_id = rest.partition("_")[0]
    return key_id if prefix == KEY_PREFIX and key_id.isalnum() else ""


def _new_key(key_id: str) -> str:
    return f"{KEY_PREFIX}_{key_id}_{secrets.token_hex(32)}"


def _caller(row: Any) -> Caller:
    return Caller(row.id, row.name, parse_scopes(row.scopes.split()), parse_limits(row.limits), row.plan)
