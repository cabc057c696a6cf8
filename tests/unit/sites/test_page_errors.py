"""What the errors of pages mean."""

import pytest

from schemas.errors import ServiceError, SiteBusy, SiteFailed, SiteRefused, SiteUnavailable
from schemas.sites.observe import ErrorSpec
from workers.sites.driver.generation.page_errors import build_error, classify, read_error_text, recovery_s


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("Error\nConnection errored out.\n\u00d7", SiteUnavailable, "Connection errored out."),
        ("Error\nQueue is full! There are 10 requests in the queue.", SiteBusy, "Queue is full! There are 10"),
        ("This application is currently busy. Please try again.", SiteBusy, "currently busy"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB", SiteFailed, "CUDA out of memory"),
        ("Allocation on device 0 would exceed allowed memory. (out of memory)", SiteFailed, "Allocation on device"),
        ("RuntimeError: expected scalar type Half", SiteFailed, "RuntimeError"),
        ("Error", SiteFailed, "without words"),
        ("NSFW content detected. Please try again later.", SiteRefused, "NSFW"),
        ("ModerationError: this prompt is not allowed", SiteRefused, "not allowed"),
        ("Please describe a picture.", SiteRefused, "Please describe"),
    ],
)
def test_the_words_of_an_error_tell_its_kind(text: str, error: type[ServiceError], message: str) -> None:
    """Passing faults are retried, words of moderation are not; the message has no heading and no cross."""
    words = read_error_text(ErrorSpec(), text)
    assert words is not None
    raised = build_error(classify(ErrorSpec(), words), words)

    assert type(raised) is error
    assert message in raised.message
    assert not raised.message.startswith("Error")
    assert "\u00d7" not in raised.message
    assert raised.retryable is (error is not SiteRefused)


def test_the_recipe_decides_before_the_words() -> None:
    """An entry with a pattern ignores other texts, and its kind counts whatever the words are."""
    spec = ErrorSpec(pattern=r"(?i)no credits: (.+)", kind="refused", message="unused")

    assert read_error_text(spec, "queue is full") is None
    assert read_error_text(spec, "No credits: connection lost") == "connection lost"
    assert classify(spec, "connection lost") == "refused"
    assert read_error_text(ErrorSpec(message="Somebody stopped it."), "") == "Somebody stopped it."


@pytest.mark.parametrize(
    ("spec", "words", "seconds"),
    [
        (ErrorSpec(), "Connection lost. Attempting reconnection…", 20.0),
        (ErrorSpec(), "Connection errored out.", 0.0),
        (ErrorSpec(wait_ms=3000), "Connection errored out.", 3.0),
        (ErrorSpec(kind="refused", wait_ms=3000), "Reconnecting", 0.0),
    ],
)
def test_a_page_that_reconnects_has_time_to_recover(spec: ErrorSpec, words: str, seconds: float) -> None:
    """Only a lost connection is waited for."""
    assert recovery_s(spec, classify(spec, words), words) == seconds
