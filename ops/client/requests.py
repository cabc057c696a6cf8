"""The questions that both clients ask: how a submission is written, how a client is set up. No I/O."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from .event_follower import SILENCE_S

TRIES = 4
FIRST_PAUSE_S = 0.5
PASSING = (502, 503, 504)
_LOCAL = re.compile(r"https?://(127\.|localhost\b|\[::1\])")


@dataclass(frozen=True, slots=True)
class Question:
    """A submission: its body, and the key under which it makes one job however often it is sent."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]


def submission(prompt: str, idempotency_key: str | None, **fields: Any) -> Question:
    """What to send; fields that are None are left out."""
    body = {"prompt": prompt} | {name: value for name, value in fields.items() if value is not None}
    return Question(body, {"Idempotency-Key": idempotency_key or str(uuid.uuid4())})


def pause_s(tries: int) -> float:
    """How long to wait after so many tries that failed."""
    return float(FIRST_PAUSE_S * 2**tries)


def options(url: str, key: str) -> dict[str, Any]:
    """How httpx is set up: the key in a header, no proxy before a Darkroom on this machine."""
    return {
        "base_url": url.rstrip("/"),
        "headers": {"Authorization": f"Bearer {key}"},
        "timeout": httpx.Timeout(SILENCE_S, connect=10.0),
        "trust_env": _LOCAL.match(url) is None,
    }


def result_path(job_id: str, number: int, form: str | None) -> str:
    """Where a picture's original bytes are, or the first picture in another form."""
    if form is not None:
        return f"/{job_id}.{form}"
    return f"/api/v1/jobs/{job_id}/results/{number}"
