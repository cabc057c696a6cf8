"""A client of server-sent events."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from tests.conftest import API_KEY, TIMEOUT_S

KEY_HEADERS = {"x-api-key": API_KEY}


def parse_events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Parse the lines of a stream into events."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "data" in fields:
            body = json.loads(fields["data"])
            assert fields["event"] == body["type"]
            yield body | {"id": fields["id"]}
            fields = {}


def stream_events(url: str, **headers: str) -> Iterator[dict[str, Any]]:
    """Request a URL and yield its events as they arrive."""
    with httpx.stream("GET", url, headers=KEY_HEADERS | headers, timeout=TIMEOUT_S, trust_env=False) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield from parse_events(response.iter_lines())
