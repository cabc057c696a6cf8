"""Owns the passes with which somebody without a key may watch one job: signed, for that job only, and for a while.

Called by ``api.sockets`` and by the surfaces whose answers carry one.
"""

import hashlib
import hmac
import secrets

import jwt
import jwt.types

from ops.clock import Clock
from schemas.errors import Unauthorized

ALGORITHM = "HS256"
AUDIENCE = "ws"
PURPOSE = b"darkroom: watching a job"
REQUIRED = ["exp", "aud", "sub", "jti"]
LONGEST = 2048


class Passes:
    """Passes signed with a key of this installation."""

    def __init__(self, clock: Clock, owner_key: str, lasting_s: int) -> None:
        """Every process with the same owner's key knows the passes of the others; a new owner's key ends them all."""
        self._clock = clock
        self._key = hmac.digest(owner_key.encode(), PURPOSE, "sha256")
        self._key_id = hashlib.sha256(self._key).hexdigest()[:8]
        self._lasting_s = lasting_s

    def issue(self, job_id: str) -> str:
        """A new pass for watching a job."""
        expires = self._clock.now_ms() // 1000 + self._lasting_s
        claims = {"aud": AUDIENCE, "sub": job_id, "exp": expires, "jti": secrets.token_hex(8)}
        return jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self._key_id})

    def check(self, token: str, job_id: str) -> str:
        """The name of a pass for that job.

        Raises:
            Unauthorized: it is none, not ours, for another job, or over.
        """
        try:
            # Its time is compared with our clock and not with the library's.
            options: jwt.types.Options = {"require": REQUIRED, "verify_exp": False}
            claims = jwt.decode(token[:LONGEST], self._key, [ALGORITHM], options, audience=AUDIENCE)
            over = int(claims["exp"]) * 1000 <= self._clock.now_ms()
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise Unauthorized("The pass (jwt) is not valid.") from error
        if over or claims["sub"] != job_id:
            raise Unauthorized("The pass (jwt) is over." if over else "The pass (jwt) is for another job.")
        return str(claims["jti"])
