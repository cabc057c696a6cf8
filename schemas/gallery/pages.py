"""Pages of lists: which part of a list, and whether explicit items are in it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_PAGE_SIZE = 100
# Page numbers reach this many items deep; beyond, only the cursor does.
MAX_OFFSET = 5_000


class ExplicitFilter(StrEnum):
    """What happens to explicit items in a list."""

    INCLUDE = "include"
    EXCLUDE = "exclude"
    ONLY = "only"

    @property
    def shown(self) -> tuple[bool, ...]:
        """The values of ``explicit`` that the list shows."""
        return {"include": (False, True), "exclude": (False,), "only": (True,)}[self.value]

    @property
    def hidden(self) -> tuple[bool, ...]:
        """The values of ``explicit`` that the list hides."""
        return tuple(value for value in (False, True) if value not in self.shown)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list: the ``size`` items after ``cursor``, or else page ``number``, counted from 0."""

    cursor: str | None = None
    number: int = 0
    size: int = 50
    explicit: ExplicitFilter = ExplicitFilter.INCLUDE


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """The items of a page. ``next_cursor`` is None at the end; ``hidden`` counts the items that the filter hides."""

    items: tuple[T, ...]
    next_cursor: str | None
    hidden: int
