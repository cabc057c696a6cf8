"""The passes with which somebody without a key may watch one job: signed, for that job only, and for a while."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

import jwt
import jwt.types

from ops.infra.clock import Clock
from schemas.errors import Unauthorized
from stores.accounts.owner_key import OwnerKey

ALGORITHM = "HS256"
AUDIENCE = "ws"
PURPOSE = b"darkroom: watching a job"
REQUIRED_CLAIMS = ["exp", "aud", "sub", "jti"]
MAX_TOKEN_CHARS = 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs passes: made from the owner's key, with a name that passes bear."""

    owner_key: str = field(repr=False)
    secret: bytes = field(repr=False)
    key_id: str

    @classmethod
    def derive(cls, owner_key: str) -> "SigningKey":
        """What the owner's key makes."""
        key = hmac.digest(owner_key.encode(), PURPOSE, "sha256")
        return cls(owner_key, key, hashlib.sha256(key).hexdigest()[:8])


class WatchTokens:
    """Passes signed with a key of this installation."""

    def __init__(self, clock: Clock, owner_key: OwnerKey, lifetime_s: int) -> None:
        """Every process with the same owner's key knows the passes of the others; a new owner's key ends them all."""
        self._clock = clock
        self._owner_key = owner_key
        self._known: SigningKey | None = None
        self._lasting_s = lifetime_s

    def issue(self, job_id: str) -> str:
        """A new pass for watching a job."""
        expires = self._clock.now_ms() // 1000 + self._lasting_s
        claims = {"aud": AUDIENCE, "sub": job_id, "exp": expires, "jti": secrets.token_hex(8)}
        signing = self._signing_key()
        return jwt.encode(claims, signing.secret, ALGORITHM, headers={"kid": signing.key_id})

    def verify(self, token: str, job_id: str) -> str:
        """The name of a pass for that job.

        Raises:
            Unauthorized: it is none, not ours, for another job, or over.
        """
        try:
            # Its time is compared with our clock and not with the library's.
            options: jwt.types.Options = {"require": REQUIRED_CLAIMS, "verify_exp": False}
            claims = jwt.decode(
                token[:MAX_TOKEN_CHARS], self._signing_key().secret, [ALGORITHM], options, audience=AUDIENCE
            )
            over = int(claims["exp"]) * 1000 <= self._clock.now_ms()
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise Unauthorized("The pass (jwt) is not valid.") from error
        if over or claims["sub"] != job_id:
            raise Unauthorized("The pass (jwt) is over." if over else "The pass (jwt) is for another job.")
        return str(claims["jti"])

    def _signing_key(self) -> SigningKey:
        key, known = self._owner_key.read(), self._known
        if known is None or known.owner_key != key:
            known = self._known = SigningKey.derive(key)
        return known
