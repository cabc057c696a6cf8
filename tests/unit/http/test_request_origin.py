"""CSRF classification of requests, and the key of a sign-in request."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.accounts.session_requests import parse_key
from schemas.errors import Invalid
from schemas.http.request_origin import RequestOrigin, classify_origin
from schemas.http.urls import url_origin

OWN_URLS = ["https://darkroom.example/below", "http://127.0.0.1:3000"]


@pytest.mark.parametrize(
    ("fetch_site", "origin", "expected"),
    [
        ("same-origin", None, RequestOrigin.SAME_ORIGIN),
        ("none", None, RequestOrigin.SAME_ORIGIN),
        ("same-origin", "https://evil.example", RequestOrigin.SAME_ORIGIN),
        ("same-site", "https://darkroom.example", RequestOrigin.CROSS_ORIGIN),
        ("cross-site", "https://darkroom.example", RequestOrigin.CROSS_ORIGIN),
        ("cross-site", None, RequestOrigin.CROSS_ORIGIN),
        ("", None, RequestOrigin.CROSS_ORIGIN),
        ("Same-Origin", None, RequestOrigin.CROSS_ORIGIN),
        ("same-origin, cross-site", None, RequestOrigin.CROSS_ORIGIN),
        (None, None, RequestOrigin.UNKNOWN),
        (None, "https://darkroom.example", RequestOrigin.SAME_ORIGIN),
        (None, "https://darkroom.example:443", RequestOrigin.SAME_ORIGIN),
        (None, "https://DARKROOM.example", RequestOrigin.SAME_ORIGIN),
        (None, "http://127.0.0.1:3000", RequestOrigin.SAME_ORIGIN),
        (None, "http://darkroom.example", RequestOrigin.CROSS_ORIGIN),
        (None, "https://darkroom.example:8443", RequestOrigin.CROSS_ORIGIN),
        (None, "https://darkroom.example.evil.example", RequestOrigin.CROSS_ORIGIN),
        (None, "https://evil-darkroom.example", RequestOrigin.CROSS_ORIGIN),
        (None, "https://darkroom.example@evil.example", RequestOrigin.CROSS_ORIGIN),
        (None, "https://evil.example#https://darkroom.example", RequestOrigin.CROSS_ORIGIN),
        (None, "https://darkroom.example/", RequestOrigin.CROSS_ORIGIN),
        (None, "https://darkroom.example, https://evil.example", RequestOrigin.CROSS_ORIGIN),
        (None, "https://darkroom.example https://evil.example", RequestOrigin.CROSS_ORIGIN),
        (None, "https://dark\troom.example", RequestOrigin.CROSS_ORIGIN),
        (None, "http://127.0.0.1:3001", RequestOrigin.CROSS_ORIGIN),
        (None, "http://127.0.0.1", RequestOrigin.CROSS_ORIGIN),
        (None, "http://localhost:3000", RequestOrigin.CROSS_ORIGIN),
        (None, "null", RequestOrigin.CROSS_ORIGIN),
        (None, "", RequestOrigin.CROSS_ORIGIN),
        (None, "file://", RequestOrigin.CROSS_ORIGIN),
        (None, "https://[::1", RequestOrigin.CROSS_ORIGIN),
        (None, "https://darkroom.example:99999", RequestOrigin.CROSS_ORIGIN),
    ],
)
def test_origin_is_classified_by_headers(fetch_site: str | None, origin: str | None, expected: RequestOrigin) -> None:
    """Sec-Fetch-Site decides, then Origin; without both the origin is unknown."""
    assert classify_origin(fetch_site, origin, OWN_URLS) is expected


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:80/x?y", "http://127.0.0.1"),
        ("https://A.example:443", "https://a.example"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
        ("http://a.example:443", "http://a.example:443"),
        ("ftp://a.example", None),
        ("http://", None),
        ("a.example", None),
        ("", None),
    ],
)
def test_an_origin_is_written_as_browsers_do(url: str, origin: str | None) -> None:
    """It has no default port, path or upper-case letters."""
    assert url_origin(url) == origin


@settings(max_examples=50)
@given(st.text(), st.none() | st.text())
def test_arbitrary_headers_are_never_same_origin(origin: str, fetch_site: str | None) -> None:
    """They raise no exception either."""
    classified = classify_origin(fetch_site, origin, OWN_URLS)
    own_origins = {"https://darkroom.example", "http://127.0.0.1:3000"}
    assert (
        classified is not RequestOrigin.SAME_ORIGIN
        or fetch_site in ("same-origin", "none")
        or url_origin(origin) in own_origins
    )


@pytest.mark.parametrize(
    "body",
    [None, [], "key", 7, {}, {"key": None}, {"key": ""}, {"key": "  "}, {"key": 7}, {"key": ["a"]}, {"key": {"a": 1}}],
)
def test_a_body_without_a_key_is_rejected(body: object) -> None:
    """The message names the field."""
    with pytest.raises(Invalid) as caught:
        parse_key(body)
    assert "key" in caught.value.problems[0]


@pytest.mark.parametrize("key", ["k" * 513, "\ud800" * 20])
def test_a_malformed_key_is_rejected_without_repeating_it(key: str) -> None:
    """It may be a secret."""
    with pytest.raises(Invalid) as caught:
        parse_key({"key": key})
    assert key not in caught.value.problems[0]


def test_white_space_around_a_key_is_ignored() -> None:
    """Copying a key often adds some."""
    assert parse_key({"key": " 0123 \n", "more": 1}) == "0123"
