"""Requests of the native and the Weights API become the same record."""

import hashlib
import json
from typing import Any

import pytest
from marshmallow import ValidationError

from schemas.errors import Invalid
from schemas.jobs.idempotency import Idempotency
from schemas.jobs.job import JobRequest, JobRequestSchema
from schemas.jobs.weights_requests import load_weights_request

PROMPT = "a lighthouse at dusk"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"prompt": f" {PROMPT} "}, JobRequest("", PROMPT)),
        ({"query": PROMPT, "site": "studio"}, JobRequest("studio", PROMPT)),
        ({"prompt": PROMPT, "query": "another prompt"}, JobRequest("", PROMPT)),
        ({"prompt": PROMPT, "loraName": "", "site": None, "priority": "3"}, JobRequest("", PROMPT, priority=3)),
        (
            {"prompt": PROMPT, "loraName": "Ink", "seed": "7", "webhook": "x"},
            JobRequest("", PROMPT, "Ink", {"seed": "7", "webhook": "x"}),
        ),
    ],
)
def test_a_weights_request_is_loaded(values: dict[str, Any], expected: JobRequest) -> None:
    """Unknown fields become inputs, and an empty LoRA name means none."""
    assert load_weights_request(values) == expected


def test_mistakes_of_a_weights_request_are_reported_together() -> None:
    """Problems of the prompt have no field name, as existing clients expect."""
    with pytest.raises(Invalid) as caught:
        load_weights_request({"prompt": 7, "priority": "11"})

    prompt_problem, priority_problem = caught.value.problems
    assert prompt_problem == "Prompt must be a string"
    assert priority_problem.startswith("priority: ")


def test_a_native_request_is_loaded() -> None:
    """Omitted and null fields get their defaults."""
    loaded = JobRequestSchema().load({"prompt": PROMPT, "lora": None, "webhook": None})

    assert loaded == JobRequest("", PROMPT)


@pytest.mark.parametrize("webhook", ["", "example.com", "https://example.com:22/", "https://user@example.com/"])
def test_a_native_request_with_a_malformed_webhook_is_rejected(webhook: str) -> None:
    """The schema checks syntax and port before any name is resolved."""
    with pytest.raises(ValidationError) as caught:
        JobRequestSchema().load({"prompt": PROMPT, "webhook": webhook})

    assert list(caught.value.normalized_messages()) == ["webhook"]


def test_the_digest_of_a_request_is_stable() -> None:
    """Stored digests must match after an upgrade: absent fields are null, and keys are sorted."""
    canonical = {"inputs": {}, "lora": None, "priority": 0, "prompt": PROMPT, "site": None, "webhook": None}
    digest = hashlib.sha256(json.dumps(canonical, separators=(",", ":")).encode()).hexdigest()

    assert Idempotency.for_request("key", JobRequest("", PROMPT)) == Idempotency("key", digest)
