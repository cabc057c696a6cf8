"""What a key may do, how much and how often."""

import pytest

from schemas.accounts.caller import DEFAULT_SCOPES, Caller, CallerLimits, Scope, parse_limits, parse_scopes
from schemas.accounts.rate_limits import Rate


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        ({Scope.READ}, {Scope.READ}),
        ({Scope.GENERATE}, {Scope.READ, Scope.GENERATE}),
        ({Scope.GALLERY}, {Scope.READ, Scope.GALLERY}),
        (DEFAULT_SCOPES, DEFAULT_SCOPES),
        ({Scope.ADMIN}, set(Scope)),
        (set(), set()),
    ],
)
def test_who_may_do_anything_may_read_and_an_admin_may_do_all(scopes: set[Scope], may: set[Scope]) -> None:
    """Nothing else follows from anything."""
    caller = Caller("bob", "bob", frozenset(scopes))
    assert {scope for scope in Scope if caller.has_scope(scope)} == may


@pytest.mark.parametrize("words", [[""], [], ["read", "write"], ["READ"], ["read generate"]])
def test_what_is_no_scope_is_told(words: list[str]) -> None:
    """With those that there are."""
    with pytest.raises(ValueError, match="scopes are read, generate"):
        parse_scopes(words)


def test_limits_are_read_as_they_are_written() -> None:
    """And those of a key win over the usual ones."""
    text = "queued=10,concurrent=2,daily=0,weekly=unlimited,rate=60/minute"
    limits = parse_limits(f" {text.replace(',', ' , ')},")
    assert limits == CallerLimits(10, 2, 0, -1, Rate(60, 60))
    assert limits.to_text() == text
    assert CallerLimits(daily=0).with_defaults(CallerLimits(5, 6, 7, 8)) == CallerLimits(5, 6, 0, 8)
    assert parse_limits("") == CallerLimits()


@pytest.mark.parametrize(
    "text", ["daily", "daily=", "daily=-1", "daily=1.5", "daily=٣", "daily=9999999999", "hourly=3", "rate=fast", "=3"]
)
def test_what_is_no_limit_is_told(text: str) -> None:
    """With what is wrong."""
    with pytest.raises(ValueError, match=r"limits are|not a number|neither a rate"):
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
def test_rates_are_read(text: str, rate: Rate) -> None:
    """In the words of the field."""
    assert Rate.parse(text) == rate
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize("text", ["", "60", "/minute", "60/fortnight", "-1/minute", "1e3/minute", "6/hour;x"])
def test_what_is_no_rate_is_told(text: str) -> None:
    """Before anything starts."""
    with pytest.raises(ValueError, match="neither a rate"):
        Rate.parse(text)


def test_unlimited_is_a_rate() -> None:
    """And is written so."""
    assert Rate.parse("unlimited").is_unlimited
    assert str(Rate.parse("unlimited")) == "unlimited"
