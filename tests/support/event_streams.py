"""The reading of server-sent events, as their clients do it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from tests.conftest import API_KEY, TIMEOUT_S

KEY_HEADERS = {"x-api-key": API_KEY}


def parse_events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """What a stream says, as its clients read it."""
    told: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            told[name] = value
        elif "data" in told:
            body = json.loads(told["data"])
            assert told["event"] == body["type"]
            yield body | {"id": told["id"]}
            told = {}


def stream_events(url: str, **headers: str) -> Iterator[dict[str, Any]]:
    """The events of an address, as they come."""
    with httpx.stream("GET", url, headers=KEY_HEADERS | headers, timeout=TIMEOUT_S, trust_env=False) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield from parse_events(answer.iter_lines())
