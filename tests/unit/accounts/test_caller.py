"""Scopes, limits and rates of API keys."""

import pytest

from schemas.accounts.caller import DEFAULT_SCOPES, Caller, CallerLimits, Scope, parse_limits, parse_scopes
from schemas.accounts.rate_limits import Rate


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ({Scope.READ}, {Scope.READ}),
        ({Scope.GENERATE}, {Scope.READ, Scope.GENERATE}),
        ({Scope.GALLERY}, {Scope.READ, Scope.GALLERY}),
        (DEFAULT_SCOPES, DEFAULT_SCOPES),
        ({Scope.ADMIN}, set(Scope)),
        (set(), set()),
    ],
)
def test_every_scope_includes_read_and_admin_includes_all(scopes: set[Scope], expected: set[Scope]) -> None:
    """No other scope includes another."""
    caller = Caller("bob", "bob", frozenset(scopes))
    assert {scope for scope in Scope if caller.has_scope(scope)} == expected


@pytest.mark.parametrize("names", [[""], [], ["read", "write"], ["READ"], ["read generate"]])
def test_an_unknown_scope_is_rejected(names: list[str]) -> None:
    """The message lists the scopes."""
    with pytest.raises(ValueError, match="scopes are read, generate"):
        parse_scopes(names)


def test_limits_round_trip_and_override_defaults() -> None:
    """White space and a trailing comma are ignored."""
    text = "queued=10,concurrent=2,daily=0,weekly=unlimited,rate=60/minute"
    limits = parse_limits(f" {text.replace(',', ' , ')},")
    assert limits == CallerLimits(10, 2, 0, -1, Rate(60, 60))
    assert limits.to_text() == text
    assert CallerLimits(daily=0).with_defaults(CallerLimits(5, 6, 7, 8)) == CallerLimits(5, 6, 0, 8)
    assert parse_limits("") == CallerLimits()


@pytest.mark.parametrize(
    "text", ["daily", "daily=", "daily=-1", "daily=1.5", "daily=٣", "daily=9999999999", "hourly=3", "rate=fast", "=3"]
)
def test_a_malformed_limit_is_rejected(text: str) -> None:
    """The message states the mistake."""
    with pytest.raises(ValueError, match=r"limits are|neither a number|neither a rate"):
        parse_limits(text)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60/minute", Rate(60, 60)),
        ("5 per second", Rate(5, 1)),
        (" 7 / days ", Rate(7, 86_400)),
        ("0/hour", Rate(0, 3600)),
    ],
)
def test_a_rate_round_trips(text: str, rate: Rate) -> None:
    """Several spellings are accepted."""
    assert Rate.parse(text) == rate
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "60", "/minute", "60/fortnight", "-1/minute", "1e3/minute", "6/hour;x"])
def test_a_malformed_rate_is_rejected(text: str) -> None:
    """The message shows a valid one."""
    with pytest.raises(ValueError, match="neither a rate"):
        Rate.parse(text)


def test_unlimited_is_a_rate() -> None:
    """It round-trips as well."""
    assert Rate.parse("unlimited").is_unlimited
    assert str(Rate.parse("unlimited")) == "unlimited"
