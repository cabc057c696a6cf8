"""Who a request comes from: the caller behind an API key, what the key may do and how much. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from schemas.accounts.rate_limits import Rate

OWNER = "owner"
ANONYMOUS = "anonymous"
UNLIMITED = -1
UNLIMITED_TEXT = "unlimited"


class Scope(StrEnum):
    """What a key may do. ``admin`` may do everything, and whoever may do anything may read."""

    READ = "read"
    GENERATE = "generate"
    LIBRARY = "library"
    GALLERY = "gallery"
    ADMIN = "admin"


ALL_SCOPES = frozenset(Scope)
DEFAULT_SCOPES = ALL_SCOPES - {Scope.ADMIN}


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """How much a caller may do: pictures, but for ``rate``. None: as the settings say; UNLIMITED: no limit."""

    queued: int | None = None
    concurrent: int | None = None
    daily: int | None = None
    weekly: int | None = None
    rate: Rate | None = None

    def with_defaults(self, defaults: "CallerLimits") -> "CallerLimits":
        """These, and those of ``others`` where there are none."""
        names = [field.name for field in fields(self)]
        chosen = {name: getattr(self, name) for name in names}
        return CallerLimits(**{name: getattr(defaults, name) if own is None else own for name, own in chosen.items()})

    def to_text(self) -> str:
        """As ``read_limits`` takes them."""
        set_ = {field.name: getattr(self, field.name) for field in fields(self)}
        return ",".join(f"{name}={_word(value)}" for name, value in set_.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a key.

    ``id`` is ``owner`` for the key that Darkroom made on its first boot, else the id of the key's row. ``plan`` is what
    the operator has named; None if there is none.
    """

    id: str
    name: str
    scopes: frozenset[Scope] = ALL_SCOPES
    limits: CallerLimits = CallerLimits()
    plan: str | None = OWNER

    def has_scope(self, scope: Scope) -> bool:
        """Whether the key may do that."""
        return scope in self.scopes or Scope.ADMIN in self.scopes or (scope is Scope.READ and bool(self.scopes))


def parse_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes of these names; raises ValueError with the one that is none."""
    wanted = [word.strip() for word in names if word.strip()]
    wrong = [word for word in wanted if word not in list(Scope)]
    if wrong or not wanted:
        raise ValueError(f"{', '.join(wrong) or 'nothing'}: scopes are {', '.join(Scope)}")
    return frozenset(Scope(word) for word in wanted)


def parse_limits(text: str) -> CallerLimits:
    """``daily=100,weekly=500,concurrent=2,queued=10,rate=60/minute``; raises ValueError with what is wrong."""
    found: dict[str, int | Rate] = {}
    known = [field.name for field in fields(CallerLimits)]
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if name not in known or not equals:
            raise ValueError(f"{part!r}: limits are {', '.join(f'{name}=…' for name in known)}")
        found[name] = Rate.parse(value) if name == "rate" else _number(part, value)
    return _limits(found)


def _limits(found: Mapping[str, int | Rate]) -> CallerLimits:
    return CallerLimits(**found)  # type: ignore[arg-type] # each under the name of its type


def _number(part: str, value: str) -> int:
    if value == UNLIMITED_TEXT:
        return UNLIMITED
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise ValueError(f"{part!r}: not a number, nor {UNLIMITED_TEXT!r}")
    return int(value)


def _word(value: int | Rate) -> str:
    return UNLIMITED_TEXT if value == UNLIMITED else str(value)
