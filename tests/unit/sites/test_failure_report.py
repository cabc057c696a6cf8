"""Failure reports contain no secrets."""

import asyncio

import psutil
import pytest

from tests.support.linear_time import MAX_RATIO, growth
from workers.sites.diagnostics import redaction
from workers.sites.diagnostics.redaction import REDACTED, redact, redact_in_process, redact_url


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


@pytest.mark.parametrize("text", ["-eyJ", "<input token ", "token", "eyJ.", "password='", "<input " + "token" * 80])
def test_redaction_takes_linear_time(text: str) -> None:
    """Twice the text takes about twice the time: a hostile page cannot stall the worker."""
    assert growth(lambda length: redact((text * length)[:length])) <= MAX_RATIO


def test_a_long_text_is_redacted_in_a_separate_process() -> None:
    """The result is the same, with characters of all kinds."""
    text = "password=hunter2 \U0001f600 \ud800 " * 10_000
    expected = redact(text.encode(errors="replace").decode())
    assert asyncio.run(redact_in_process(text)) == expected


def test_a_redaction_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report then has no DOM, and the process is gone."""
    monkeypatch.setattr(redaction, "PROCESS_TIMEOUT_S", 0.0)
    before = set(psutil.Process().children())
    assert asyncio.run(redact_in_process("x")) is None
    assert not set(psutil.Process().children()) - before


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
