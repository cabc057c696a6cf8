"""Pages of lists: parsing the query, and the links to the next page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from flask import request

from schemas.errors import Invalid
from schemas.gallery.pages import ExplicitFilter, Listed, Page

PICTURES_PER_PAGE = 48
COLLECTIONS_PER_PAGE = 24


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a list as the templates show it. ``first_url`` is empty on the first page, ``next_url`` on the last.

    ``hidden_text`` says what the filter leaves out.
    """

    items: tuple[Any, ...]
    next_url: str
    first_url: str
    hidden: int
    hidden_text: str
    has_explicit: bool
    include_url: str
    exclude_url: str

    @classmethod
    def build(cls, listed: Listed[Any], page: Page, items: Sequence[Any], *, has_explicit: bool) -> Self:
        """Return the listing of ``items``, which are the listed ones as the templates show them."""
        verb = "is" if listed.hidden == 1 else "are"
        return cls(
            items=tuple(items),
            next_url=_url(page.explicit, listed.next_cursor) if listed.next_cursor else "",
            first_url=_url(page.explicit) if page.cursor else "",
            hidden=listed.hidden,
            hidden_text=f"{listed.hidden:,} explicit {verb} left out.",
            has_explicit=has_explicit,
            include_url=_url(ExplicitFilter.INCLUDE),
            exclude_url=_url(ExplicitFilter.EXCLUDE),
        )


def requested_page(size: int) -> Page:
    """Return the page that the query selects; raises Invalid for an invalid query."""
    explicit = request.args.get("explicit", ExplicitFilter.INCLUDE)
    if explicit not in list(ExplicitFilter):
        raise Invalid(f"explicit: must be one of {', '.join(ExplicitFilter)}.")
    return Page(cursor=request.args.get("cursor") or None, size=size, explicit=ExplicitFilter(explicit))


def _url(explicit: ExplicitFilter, cursor: str | None = None) -> str:
    """Return a link to another page of the same list, relative to the present one."""
    query = {"explicit": explicit.value} if explicit is not ExplicitFilter.INCLUDE else {}
    if cursor:
        query["cursor"] = cursor
    return f"?{urlencode(query)}"
