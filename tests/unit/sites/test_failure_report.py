"""Failure reports contain no secrets."""

import time

import pytest

from workers.sites.diagnostics.failure_report import MAX_DOM_CHARS, REDACTED, redact, redact_url


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: hunter2hunter2",
        "token=hunter2hunter2&page=2",
        '{"access_token": "hunter2hunter2"}',
        "document.cookie = 'session=hunter2hunter2'",
        '<input type="hidden" name="csrf_token" value="hunter2hunter2">',
        '<input type="password" value="hunter2hunter2">',
        "<meta name='csrf-token' content='hunter2hunter2'>",
        "x-api-key=hunter2hunter2",
        "eyJhbGciOiJIUzI1NiJ9.eyJodW50ZXIyIjoiaHVudGVyMiJ9.hunter2hunter2",
    ],
)
def test_secrets_are_redacted(text: str) -> None:
    """Passwords, cookies, tokens and keys are removed in every notation."""
    assert "hunter2" not in redact(text)
    assert REDACTED in redact(text)


@pytest.mark.parametrize("text", ["-eyJ", "<input token ", "token", "eyJ.", "password='"])
def test_redaction_takes_linear_time(text: str) -> None:
    """A hostile page cannot stall the worker with a pattern that backtracks."""
    started = time.perf_counter()
    redact((text * MAX_DOM_CHARS)[:MAX_DOM_CHARS])
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    "text", ["a lighthouse at dusk", '<input id="prompt" value="a lighthouse">', "Error: 12/20 steps"]
)
def test_other_text_is_kept(text: str) -> None:
    """The text that explains the failure is unchanged."""
    assert text == redact(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:hunter2@example.org/page", "https://example.org/page"),
        ("https://example.org/page?api_key=hunter2&size=3", f"https://example.org/page?api_key={REDACTED}&size=3"),
        ("https://example.org/#access_token=hunter2", "https://example.org/"),
        ("data:image/png;base64,AAAA", "data:…"),
    ],
)
def test_secrets_are_removed_from_urls(url: str, expected: str) -> None:
    """User, password, fragment and secret parameters are removed, the rest is kept."""
    assert expected == redact_url(url)
