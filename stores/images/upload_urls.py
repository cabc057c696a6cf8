"""Signed URLs of uploads that pass the web process. The signature is made with a key derived from the owner's key."""

import hmac
from dataclasses import dataclass
from urllib.parse import urlencode

from ops.infra.clock import Clock
from schemas.errors import Forbidden, Gone
from stores.accounts.owner_key import OwnerKey

PURPOSE = b"darkroom: uploading a picture"
MAX_TEXT_CHARS = 100


@dataclass(frozen=True, slots=True)
class UploadUrls:
    """The signatures of one installation."""

    clock: Clock
    owner_key: OwnerKey

    def sign(self, nonce: str, expires_at_ms: int) -> str:
        """Return the query of the URL."""
        return urlencode({"expires": expires_at_ms, "signature": self._signature(nonce, str(expires_at_ms))})

    def verify(self, nonce: str, expires: str, signature: str) -> None:
        """Check the query of a URL.

        Raises:
            Forbidden: the signature is missing or wrong.
            Gone: the URL has expired.
        """
        wanted = self._signature(nonce[:MAX_TEXT_CHARS], expires[:MAX_TEXT_CHARS])
        if not hmac.compare_digest(wanted.encode(), signature.encode(errors="replace")):
            raise Forbidden("The upload URL is not valid; request a new one.")
        if int(expires) <= self.clock.now_ms():
            raise Gone("The upload URL has expired; request a new one.")

    def _signature(self, nonce: str, expires: str) -> str:
        secret = hmac.digest(self.owner_key.read().encode(), PURPOSE, "sha256")
        return hmac.digest(secret, f"{nonce}\n{expires}".encode(errors="replace"), "sha256").hex()
