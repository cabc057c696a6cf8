"""Messages from pages to their worker, which are untrusted."""

import base64
from typing import Any

import pytest

from schemas.jobs.job import Progress
from workers.sites.observer.observer import (
    MAX_ERROR_CHARS,
    MAX_MESSAGE_CHARS,
    MAX_TEXT_CHARS,
    _parse_message,
    parse_progress,
)


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("12/20", r"(\d+)/(\d+)", Progress(60.0, 12, 20)),
        ("20 / 20", r"(\d+)\s*/\s*(\d+)", Progress(100.0, 20, 20)),
        ("25/20", r"(\d+)/(\d+)", Progress(100.0, 25, 20)),
        ("3/0", r"(\d+)/(\d+)", None),
        ("45%", None, Progress(45.0)),
        ("almost 99.5 % now", None, Progress(99.5)),
        ("300%", None, Progress(100.0)),
        ("step 7", r"step (\d+)", Progress(7.0)),
        ("nothing to see", None, None),
        ("queue: 1/1 | 0.1s", None, None),
        ("In queue: 2/3", None, None),
        ("queue: 1/1 | 3/4", None, Progress(75.0, 3, 4)),
        ("1.2/5.3s", None, None),
        ("12/20s", None, None),
        ("0.4/1", None, None),
    ],
)
def test_progress_is_read_from_text(text: str, pattern: str | None, expected: Progress | None) -> None:
    """Steps, percentages and custom patterns are recognized."""
    assert expected == parse_progress(text, pattern)


@pytest.mark.parametrize(
    "message",
    [
        None,
        "preview",
        [],
        {},
        {"run": 2, "kind": "preview"},
        {"run": 1, "kind": "constructor"},
        {"run": 1, "kind": "preview", "data": 7},
        {"run": 1, "kind": "error", "entry": -1},
        {"run": 1, "kind": "error", "entry": "0"},
        {"run": 1, "kind": "preview", "data": "not base64!"},
        {"run": 1, "kind": "done", "url": {"toString": 1}},
        {"run": 1, "kind": "preview", "data": "A" * (MAX_MESSAGE_CHARS + 4)},
    ],
)
def test_a_malformed_message_is_dropped(message: Any) -> None:
    """Only well-formed messages of the current run are accepted."""
    assert _parse_message(message, 1) is None


def test_a_well_formed_message_is_accepted() -> None:
    """Bytes are decoded and long texts truncated."""
    data = base64.b64encode(b"jpeg").decode()
    preview = _parse_message({"run": 1, "kind": "preview", "data": data}, 1)
    error = _parse_message({"run": 1, "kind": "error", "text": "x" * 10_000, "entry": 2}, 1)
    progress = _parse_message({"run": 1, "kind": "progress", "text": "x" * 10_000}, 1)

    assert preview is not None
    assert preview.data == b"jpeg"
    assert error is not None
    assert (len(error.text), error.entry) == (MAX_ERROR_CHARS, 2)
    assert progress is not None
    assert len(progress.text) == MAX_TEXT_CHARS
