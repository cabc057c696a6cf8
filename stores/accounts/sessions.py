"""User sessions: a random token in a browser's cookie; Redis keeps only its hash, until the session expires.

A session ends with the API key that it was created with: its record names the key's version.
"""

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any, Self, cast

from redis import Redis

from ops.infra.clock import Clock
from schemas.accounts.caller import Caller
from stores.accounts.api_keys import ApiKeys, compute_key_version
from stores.redis.keys import caller_sessions_key, session_key

SESSION_TTL_S = 30 * 24 * 3600
# A request renews its session, but at most this often.
MIN_RENEW_INTERVAL_S = 3600
MAX_SESSIONS_PER_CALLER = 100
TOKEN_BYTES = 32
TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """A valid session; ``is_renewed`` if it was just renewed, so that the cookie must be set again."""

    caller: Caller
    is_renewed: bool


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """The stored form: the caller's id, the version of their key, the expiry in Unix milliseconds."""

    caller_id: str
    key_version: str
    expires_at: int

    @classmethod
    def from_json(cls, text: bytes) -> Self | None:
        """Decode a record; None if it is not one."""
        try:
            record = json.loads(text)
            return cls(str(record["caller"]), str(record["version"]), int(record["expires_at"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def to_json(self) -> str:
        """Encode the record."""
        return json.dumps({"caller": self.caller_id, "version": self.key_version, "expires_at": self.expires_at})


class Sessions:
    """The sessions in one Redis. Every method may raise Unavailable."""

    def __init__(self, client: Redis, clock: Clock, keys: ApiKeys) -> None:
        self._redis = client
        self._clock = clock
        self._keys = keys

    def create(self, caller: Caller, key: str) -> str:
        """Return the token of a new session for a caller who has proved to hold ``key``.

        Above MAX_SESSIONS_PER_CALLER the caller's oldest sessions end.
        """
        return self.create_for_version(caller.id, compute_key_version(key))

    def create_for_version(self, caller_id: str, key_version: str, token: str | None = None) -> str:
        """Return the token of a new session that is valid as long as the caller's key has this version.

        A ``token`` that is given must be random and new.
        """
        token, now_ms = token or secrets.token_urlsafe(TOKEN_BYTES), self._clock.now_ms()
        record = SessionRecord(caller_id, key_version, now_ms + SESSION_TTL_S * 1000)
        name, index = _session_key(token), caller_sessions_key(caller_id)
        with self._redis.pipeline() as pipe:
            pipe.set(name, record.to_json(), px=SESSION_TTL_S * 1000)
            pipe.zremrangebyscore(index, "-inf", now_ms)
            pipe.zadd(index, {name: record.expires_at})
            pipe.pexpire(index, SESSION_TTL_S * 1000)
            pipe.zrange(index, 0, -MAX_SESSIONS_PER_CALLER - 1)
            excess = pipe.execute()[-1]
        self._delete(index, excess)
        return token

    def get(self, token: str) -> Session | None:
        """Return the session of a token, renewing it; None if the token is invalid or its session has ended."""
        record = self._read(token)
        if record is None:
            return None
        name, caller = _session_key(token), self._get_caller(record)
        if caller is None:
            self._delete(caller_sessions_key(record.caller_id), [name])
            return None
        return Session(caller, self._renew(name, record))

    def is_valid(self, token: str) -> bool:
        """Whether ``get`` would return a session; this renews nothing."""
        record = self._read(token)
        return record is not None and self._get_caller(record) is not None

    def _read(self, token: str) -> SessionRecord | None:
        if not TOKEN_PATTERN.fullmatch(token):
            return None
        text = cast(bytes | None, self._redis.get(_session_key(token)))
        record = SessionRecord.from_json(text) if text else None
        return record if record and record.expires_at > self._clock.now_ms() else None

    def _get_caller(self, record: SessionRecord) -> Caller | None:
        """Return the caller if the session's key is still valid."""
        for refresh in (False, True):
            # Before the session is deleted the key is read afresh: the session may be newer than this process's cache.
            owner = self._keys.get_owner(record.caller_id, refresh=refresh)
            if owner is not None and hmac.compare_digest(owner.version, record.key_version):
                return owner.caller
        return None

    def end(self, token: str) -> None:
        """End the session of a token, if there is one."""
        if not TOKEN_PATTERN.fullmatch(token):
            return
        name = _session_key(token)
        text = cast(bytes | None, self._redis.getdel(name))
        if record := SessionRecord.from_json(text) if text else None:
            self._redis.zrem(caller_sessions_key(record.caller_id), name)

    def end_all(self, caller_id: str) -> None:
        """End all sessions of a caller."""
        index = caller_sessions_key(caller_id)
        self._delete(index, cast(list[Any], self._redis.zrange(index, 0, -1)))

    def _delete(self, index: str, names: list[Any]) -> None:
        if not names:
            return
        with self._redis.pipeline() as pipe:
            pipe.delete(*names)
            pipe.zrem(index, *names)
            pipe.execute()

    def _renew(self, name: str, record: SessionRecord) -> bool:
        expires_at = self._clock.now_ms() + SESSION_TTL_S * 1000
        if expires_at - record.expires_at < MIN_RENEW_INTERVAL_S * 1000:
            return False
        renewed = SessionRecord(record.caller_id, record.key_version, expires_at)
        index = caller_sessions_key(record.caller_id)
        with self._redis.pipeline() as pipe:
            # XX: a session that is being ended at this moment stays ended.
            pipe.set(name, renewed.to_json(), px=SESSION_TTL_S * 1000, xx=True)
            pipe.zadd(index, {name: expires_at}, xx=True)
            pipe.pexpire(index, SESSION_TTL_S * 1000)
            return bool(pipe.execute()[0])


def _session_key(token: str) -> str:
    return session_key(hashlib.sha256(token.encode()).hexdigest())
