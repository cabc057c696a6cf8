"""Owns the meaning of a recipe's selectors: from the Recorder's notation to Playwright's locators.

Used by ``workers.sites.driver`` and ``workers.sites.catalogue``.
"""

import re
from dataclasses import dataclass
from functools import reduce

from playwright.async_api import Locator, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from schemas.errors import SiteChanged
from schemas.sites import Selectors

ARIA = re.compile(r'^aria/(?P<name>.*?)(?:\[role="(?P<role>[a-z]+)"\])?$')
CLICKABLE_ROLES = ("button", "link", "tab", "checkbox", "menuitem")


@dataclass(frozen=True, slots=True)
class Match:
    """An element and the alternative that found it."""

    locator: Locator
    selector: str


def locate(root: Page | Locator, chain: tuple[str, ...]) -> Locator:
    """The elements that a chain of selectors means, each inside the one before."""
    first, *rest = chain
    found = _one(root, first)
    for selector in rest:
        found = _one(found, selector)
    return found


async def find(root: Page | Locator, selectors: Selectors, *, timeout_ms: int, visible: bool = True) -> Match:
    """The first alternative that is on the page, waiting for any of them.

    Raises:
        SiteChanged: none of them appeared in time.
    """
    if match := await present(root, selectors):
        return match
    anyone = reduce(lambda one, other: one.or_(other), (locate(root, chain) for chain in selectors))
    try:
        await anyone.first.wait_for(state="visible" if visible else "attached", timeout=timeout_ms)
    except PlaywrightTimeout as error:
        tried = ", ".join(" > ".join(chain) for chain in selectors)
        raise SiteChanged(f"Nothing on the page matches {tried}.", selectors=tried) from error
    return await present(root, selectors) or Match(anyone.first, " > ".join(selectors[0]))


async def present(root: Page | Locator, selectors: Selectors) -> Match | None:
    """The first alternative that is on the page now."""
    for chain in selectors:
        locator = locate(root, chain)
        if await locator.count():
            return Match(locator.first, " > ".join(chain))
    return None


def _one(root: Page | Locator, selector: str) -> Locator:
    if selector.startswith("aria/"):
        return _by_accessible_name(root, selector)
    if selector.startswith("text/"):
        return root.get_by_text(selector.removeprefix("text/"))
    if selector.startswith("xpath/"):
        return root.locator("xpath=" + selector.removeprefix("xpath/"))
    return root.locator(selector.removeprefix("pierce/"))


def _by_accessible_name(root: Page | Locator, selector: str) -> Locator:
    found = ARIA.match(selector)
    name, role = (found["name"], found["role"]) if found else (selector, None)
    if role:
        return root.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type] # the recipe's word, any role
    named = root.get_by_label(name, exact=True)
    for clickable in CLICKABLE_ROLES:
        named = named.or_(root.get_by_role(clickable, name=name, exact=True))  # type: ignore[arg-type] # one of the tuple above
    return named
