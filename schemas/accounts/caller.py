"""The caller of a request: the owner of an API key, its scopes and its limits."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from schemas.accounts.rate_limits import Rate

OWNER = "owner"
ANONYMOUS = "anonymous"
UNLIMITED = -1
UNLIMITED_TEXT = "unlimited"
MAX_LIMIT_DIGITS = 9


class Scope(StrEnum):
    """What a key is allowed to do. ``admin`` includes every scope, and every scope includes ``read``."""

    READ = "read"
    GENERATE = "generate"
    LIBRARY = "library"
    GALLERY = "gallery"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
DEFAULT_SCOPES = ALL_SCOPES - {Scope.ADMIN}


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """Limits of a caller: numbers of pictures, except for ``rate``.

    None means the default from the settings; UNLIMITED means no limit.
    """

    queued: int | None = None
    concurrent: int | None = None
    daily: int | None = None
    weekly: int | None = None
    rate: Rate | None = None

    def with_defaults(self, defaults: "CallerLimits") -> "CallerLimits":
        """Return these limits, with those of ``defaults`` where they are None."""
        if self == NO_LIMITS:
            return defaults
        own = {name: value for name, value in _values(self).items() if value is not None}
        return CallerLimits(**_values(defaults) | own)

    def to_text(self) -> str:
        """Return the text that ``parse_limits`` reads."""
        return ",".join(f"{name}={_format(value)}" for name, value in _values(self).items() if value is not None)


NO_LIMITS = CallerLimits()


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of an API key.

    ``id`` is ``owner`` for the key that Darkroom created on its first start, otherwise the id of the key's row.
    ``plan`` is a name that the operator assigned, or None.
    """

    id: str
    name: str
    scopes: frozenset[Scope] = ALL_SCOPES
    limits: CallerLimits = CallerLimits()
    plan: str | None = OWNER

    def has_scope(self, scope: Scope) -> bool:
        """Return whether the key has the scope, directly or by inclusion."""
        return scope in self.scopes or Scope.ADMIN in self.scopes or (scope is Scope.READ and bool(self.scopes))


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes of these names; raise ValueError if there are none, or with the unknown ones."""
    stripped = [name.strip() for name in names if name.strip()]
    unknown = [name for name in stripped if name not in list(Scope)]
    if unknown or not stripped:
        raise ValueError(f"{', '.join(unknown) or 'nothing'}: scopes are {', '.join(Scope)}")
    return frozenset(Scope(name) for name in stripped)


def parse_limits(text: str) -> CallerLimits:
    """Parse ``daily=100,weekly=500,concurrent=2,queued=10,rate=60/minute``; raise ValueError with the mistake."""
    known = [field.name for field in fields(CallerLimits)]
    limits: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if name not in known or not equals:
            raise ValueError(f"{part!r}: limits are {', '.join(f'{name}=…' for name in known)}")
        limits[name] = Rate.parse(value) if name == "rate" else _parse_number(part, value)
    return CallerLimits(**limits)


def _values(limits: CallerLimits) -> dict[str, Any]:
    return {field.name: getattr(limits, field.name) for field in fields(limits)}


def _parse_number(part: str, value: str) -> int:
    if value == UNLIMITED_TEXT:
        return UNLIMITED
    if not (value.isascii() and value.isdigit() and len(value) <= MAX_LIMIT_DIGITS):
        raise ValueError(f"{part!r}: neither a number nor {UNLIMITED_TEXT!r}")
    return int(value)


def _format(value: int | Rate) -> str:
    return UNLIMITED_TEXT if value == UNLIMITED else str(value)
