"""What makes a submission safe to repeat: the key that its client chose and the digest of what it asked for."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from schemas.errors import Invalid

MAX_KEY_LENGTH = 255
# The printable characters of ASCII.
KEY_PATTERN = re.compile(rf"[!-~]{{1,{MAX_KEY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key, and the SHA-256 (hex) of its request."""

    key: str
    digest: str

    @classmethod
    def for_request(cls, key: str, request: Mapping[str, Any]) -> Self:
        """The key for a request, whose fields may come in any order.

        Raises:
            Invalid: the key is not 1 to 255 printable ASCII characters.
        """
        if not KEY_PATTERN.fullmatch(key):
            raise Invalid(problems=[f"Idempotency-Key: must be 1 to {MAX_KEY_LENGTH} printable ASCII characters."])
        canonical = json.dumps(request, sort_keys=True, separators=(",", ":"))
        return cls(key, hashlib.sha256(canonical.encode()).hexdigest())
