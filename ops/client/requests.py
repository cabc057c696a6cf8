"""Requests and HTTP settings of the synchronous and the asynchronous client. No I/O."""

import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .event_follower import READ_TIMEOUT_S

MAX_TRIES = 4
MIN_PAUSE_S = 0.5
RETRYABLE_STATUSES = (502, 503, 504)
_LOCAL = re.compile(r"https?://(127\.|localhost\b|\[::1\])")


# A picture for an image input: its bytes, the path of its file, or a reference to an upload or to a picture of a job.
Image = bytes | os.PathLike[str] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """A submission: the content as options of httpx, and the headers.

    Its idempotency key makes one job however often it is sent.
    """

    content: Mapping[str, Any]
    headers: Mapping[str, str]


def submit_request(
    prompt: str, idempotency_key: str | None, images: Mapping[str, Image] | None, **fields: Any
) -> SubmitRequest:
    """Return a submission: JSON, or a form if there are pictures to send.

    ``fields`` that are None are left out, a missing key is generated.

    Raises:
        OSError: the file of a picture cannot be read.
    """
    references = {name: dict(image) for name, image in (images or {}).items() if isinstance(image, Mapping)}
    files = {name: image_file(image) for name, image in (images or {}).items() if not isinstance(image, Mapping)}
    fields |= {"inputs": {**(fields.get("inputs") or {}), **references} or None}
    body = {"prompt": prompt} | {name: value for name, value in fields.items() if value is not None}
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    if not files:
        return SubmitRequest({"json": body}, headers)
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
    return SubmitRequest({"data": texts, "files": files}, headers)


def image_file(image: bytes | os.PathLike[str]) -> tuple[str, bytes]:
    """Return the name and the bytes of a picture for a form; the server looks at the bytes only."""
    return ("picture", image if isinstance(image, bytes) else Path(image).read_bytes())


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
