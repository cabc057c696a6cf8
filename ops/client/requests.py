"""What the synchronous and the asynchronous client send, and how their HTTP clients are configured. No I/O."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from .event_follower import READ_TIMEOUT_S

MAX_TRIES = 4
MIN_PAUSE_S = 0.5
RETRYABLE_STATUSES = (502, 503, 504)
_LOCAL = re.compile(r"https?://(127\.|localhost\b|\[::1\])")


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """The body and the headers of a submission; its idempotency key makes one job however often it is sent."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]


def submit_request(prompt: str, idempotency_key: str | None, **fields: Any) -> SubmitRequest:
    """Return a submission; ``fields`` that are None are left out, a missing key is generated."""
    body = {"prompt": prompt} | {name: value for name, value in fields.items() if value is not None}
    return SubmitRequest(body, {"Idempotency-Key": idempotency_key or str(uuid.uuid4())})


def pause_s(tries: int) -> float:
    """Return the exponential back-off after ``tries`` earlier failures."""
    return float(MIN_PAUSE_S * 2**tries)


def client_options(url: str, key: str) -> dict[str, Any]:
    """Return the options of the httpx client: the key in a header, no proxy for a Darkroom on this machine."""
    return {
        "base_url": url.rstrip("/"),
        "headers": {"Authorization": f"Bearer {key}"},
        "timeout": httpx.Timeout(READ_TIMEOUT_S, connect=10.0),
        "trust_env": _LOCAL.match(url) is None,
    }


def result_path(job_id: str, number: int, image_format: str | None) -> str:
    """Return the path of an image's original bytes, or of the first image in another format."""
    if image_format is not None:
        return f"/{job_id}.{image_format}"
    return f"/api/v1/jobs/{job_id}/results/{number}"
