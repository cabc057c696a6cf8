"""Watch tokens: JWTs that allow watching one job without an API key, for a limited time.

They are signed with a key derived from the owner's key, so every process accepts them, and a new owner's key ends all.
"""

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
    """A signing key, the owner's key that it is derived from, and its id in the tokens' headers."""

    owner_key: str = field(repr=False)
    secret: bytes = field(repr=False)
    key_id: str

    @classmethod
    def derive(cls, owner_key: str) -> "SigningKey":
        """Derive the signing key from the owner's key."""
        secret = hmac.digest(owner_key.encode(), PURPOSE, "sha256")
        return cls(owner_key, secret, hashlib.sha256(secret).hexdigest()[:8])


class WatchTokens:
    """The watch tokens of one installation."""

    def __init__(self, clock: Clock, owner_key: OwnerKey, lifetime_s: int) -> None:
        self._clock = clock
        self._owner_key = owner_key
        self._lifetime_s = lifetime_s
        self._cached: SigningKey | None = None

    def issue(self, job_id: str) -> str:
        """Return a new token for watching a job."""
        expires_at = self._clock.now_ms() // 1000 + self._lifetime_s
        claims = {"aud": AUDIENCE, "sub": job_id, "exp": expires_at, "jti": secrets.token_hex(8)}
        key = self._signing_key()
        return jwt.encode(claims, key.secret, ALGORITHM, headers={"kid": key.key_id})

    def verify(self, token: str, job_id: str) -> str:
        """Return the id (``jti``) of a token for that job.

        Raises:
            Unauthorized: the token is malformed, forged, expired or for another job.
        """
        try:
            # The expiry is compared with our own clock, which tests can turn.
            options: jwt.types.Options = {"require": REQUIRED_CLAIMS, "verify_exp": False}
            secret = self._signing_key().secret
            claims = jwt.decode(token[:MAX_TOKEN_CHARS], secret, [ALGORITHM], options, audience=AUDIENCE)
            is_expired = int(claims["exp"]) * 1000 <= self._clock.now_ms()
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise Unauthorized("The watch token (jwt) is not valid.") from error
        if is_expired or claims["sub"] != job_id:
            reason = "has expired" if is_expired else "is for another job"
            raise Unauthorized(f"The watch token (jwt) {reason}.")
        return str(claims["jti"])

    def _signing_key(self) -> SigningKey:
        owner_key, cached = self._owner_key.read(), self._cached
        if cached is None or cached.owner_key != owner_key:
            cached = self._cached = SigningKey.derive(owner_key)
        return cached
