"""Idempotency keys: repeating a submission with the same key and the same request returns the first job."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Self

from schemas.errors import Invalid
from schemas.images.input_images import ImageSource
from schemas.jobs.job import JobRequest

MAX_KEY_LENGTH = 255
# Printable ASCII without the space.
KEY_PATTERN = re.compile(rf"[!-~]{{1,{MAX_KEY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key, and the SHA-256 (hex) of the request that came with it."""

    key: str
    digest: str

    @classmethod
    def for_request(cls, key: str, request: JobRequest) -> Self:
        """Combine a key with the digest of a request as the client sent it, before names are resolved.

        Raises:
            Invalid: the key is not 1 to 255 printable ASCII characters.
        """
        if not KEY_PATTERN.fullmatch(key):
            raise Invalid(problems=[f"Idempotency-Key: must be 1 to {MAX_KEY_LENGTH} printable ASCII characters."])
        # Stored digests outlive an upgrade: absent fields must stay null here.
        inputs = {
            name: value.to_json() if isinstance(value, ImageSource) else value for name, value in request.inputs.items()
        }
        fields = asdict(replace(request, inputs=inputs)) | {
            "site": request.site or None,
            "webhook": request.webhook or None,
        }
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return cls(key, hashlib.sha256(canonical.encode()).hexdigest())


def part_key(key: str | None, part: int) -> str | None:
    """Return the idempotency key of one of the jobs of a request.

    One that would be too long is a hash: those of stored jobs outlive an upgrade, so shorter ones stay as they are.
    """
    if not key or part == 1:
        return key
    name = f"{key}/{part}"
    return name if len(name) <= MAX_KEY_LENGTH else f"{hashlib.sha256(key.encode()).hexdigest()}/{part}"
