"""Who is signed in: by a random word in a browser's cookie, kept as a hash in Redis until it lapses.

A login is over with the key it was made with.
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
from stores.redis.errors import redis_errors

SESSION_TTL_S = 30 * 24 * 3600
# A use of the login gives it its full time again, but not more often than this.
MIN_RENEW_INTERVAL_S = 3600
MAX_SESSIONS_PER_CALLER = 100
TOKEN_BYTES = 32
TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """Whose it is; ``renewed`` if its time has just begun anew, which the browser is to be told."""

    caller: Caller
    is_renewed: bool


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What Redis has of a login: the caller's id, the version of their key, its end in Unix milliseconds."""

    caller_id: str
    key_version: str
    expires_at: int

    @classmethod
    def from_json(cls, text: bytes) -> Self | None:
        """What was kept; None if it is nothing that we keep."""
        try:
            known = json.loads(text)
            return cls(str(known["caller"]), str(known["version"]), int(known["expires_at"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def to_json(self) -> str:
        """As ``read`` takes it."""
        return json.dumps({"caller": self.caller_id, "version": self.key_version, "expires_at": self.expires_at})


class Sessions:
    """The logins in one Redis."""

    def __init__(self, client: Redis, clock: Clock, keys: ApiKeys) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock
        self._keys = keys

    def create(self, caller: Caller, key: str) -> str:
        """A new token for whoever has proved to hold ``key``; only its hash is kept.

        Beyond a hundred of one caller the oldest are over.

        Raises:
            Unavailable: Redis does not answer.
        """
        token, now_ms = secrets.token_urlsafe(TOKEN_BYTES), self._clock.now_ms()
        kept = SessionRecord(caller.id, compute_key_version(key), now_ms + SESSION_TTL_S * 1000)
        name, listing = _session_key(token), _sessions_key(caller.id)
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.set(name, kept.to_json(), px=SESSION_TTL_S * 1000)
            pipe.zremrangebyscore(listing, "-inf", now_ms)
            pipe.zadd(listing, {name: kept.expires_at})
            pipe.pexpire(listing, SESSION_TTL_S * 1000)
            pipe.zrange(listing, 0, -MAX_SESSIONS_PER_CALLER - 1)
            self._end(listing, pipe.execute()[-1])
        return token

    def get(self, token: str) -> Session | None:
        """Who is signed in by a token; None if nobody is (any more), or it is none of ours.

        Raises:
            Unavailable: Redis or the database does not answer.
        """
        if not TOKEN_PATTERN.fullmatch(token):
            return None
        name = _session_key(token)
        with redis_errors():
            text = cast(bytes | None, self._redis.get(name))
        kept = SessionRecord.from_json(text) if text else None
        if kept is None or kept.expires_at <= self._clock.now_ms():
            return None
        caller = self._holder_of(kept)
        if caller is None:
            self._end(_sessions_key(kept.caller_id), [name])
            return None
        return Session(caller, self._renew(name, kept))

    def _holder_of(self, kept: SessionRecord) -> Caller | None:
        """Who still holds the key of a login; None if it was revoked, or there is another in its place."""
        for anew in (False, True):
            # Before a login is refused for good: it may be newer than what this process knows of keys.
            holder = self._keys.get_owner(kept.caller_id, refresh=anew)
            if holder is not None and hmac.compare_digest(holder.version, kept.key_version):
                return holder.caller
        return None

    def end(self, token: str) -> None:
        """End one login, if it is one.

        Raises:
            Unavailable: Redis does not answer.
        """
        if not TOKEN_PATTERN.fullmatch(token):
            return
        name = _session_key(token)
        with redis_errors():
            text = cast(bytes | None, self._redis.getdel(name))
            if kept := SessionRecord.from_json(text) if text else None:
                self._redis.zrem(_sessions_key(kept.caller_id), name)

    def end_all(self, caller_id: str) -> None:
        """End every login of a caller, wherever they are signed in.

        Raises:
            Unavailable: Redis does not answer.
        """
        listing = _sessions_key(caller_id)
        with redis_errors():
            names = cast(list[Any], self._redis.zrange(listing, 0, -1))
        self._end(listing, names)

    def _end(self, listing: str, names: list[Any]) -> None:
        if not names:
            return
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.delete(*names)
            pipe.zrem(listing, *names)
            pipe.execute()

    def _renew(self, name: str, kept: SessionRecord) -> bool:
        expires_at = self._clock.now_ms() + SESSION_TTL_S * 1000
        if expires_at - kept.expires_at < MIN_RENEW_INTERVAL_S * 1000:
            return False
        renewed = SessionRecord(kept.caller_id, kept.key_version, expires_at)
        with redis_errors(), self._redis.pipeline() as pipe:
            # Only where they still are: who signs out at this moment stays signed out.
            pipe.set(name, renewed.to_json(), px=SESSION_TTL_S * 1000, xx=True)
            pipe.zadd(_sessions_key(kept.caller_id), {name: expires_at}, xx=True)
            pipe.pexpire(_sessions_key(kept.caller_id), SESSION_TTL_S * 1000)
            return bool(pipe.execute()[0])


def _session_key(token: str) -> str:
    return f"dr:login:{hashlib.sha256(token.encode()).hexdigest()}"


def _sessions_key(caller_id: str) -> str:
    return f"dr:logins:{caller_id}"
