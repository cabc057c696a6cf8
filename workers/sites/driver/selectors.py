"""Translates the selectors of recipes, in the notation of Chrome's Recorder, into Playwright locators.

A selector is a list of alternatives, tried in order. An alternative is a chain: each part is searched inside the
element of the part before it. A part is CSS, or begins with ``aria/``, ``text/``, ``xpath/`` or ``pierce/``.
"""

import re
from dataclasses import dataclass
from functools import reduce

from playwright.async_api import Locator, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from schemas.errors import SiteChanged
from schemas.sites.observe import Selectors

ARIA = re.compile(r'^aria/(?P<name>.*?)(?:\[role="(?P<role>[a-z]+)"\])?$')
CLICKABLE_ROLES = ("button", "link", "tab", "checkbox", "menuitem")


@dataclass(frozen=True, slots=True)
class Match:
    """An element and the alternative that matched it."""

    locator: Locator
    chain: tuple[str, ...]

    @property
    def selector(self) -> str:
        """The alternative as one line."""
        return format_chain(self.chain)


def locate(root: Page | Locator, chain: tuple[str, ...]) -> Locator:
    """Return the locator of a chain."""
    first, *rest = chain
    locator = _locate_selector(root, first)
    for selector in rest:
        locator = _locate_selector(locator, selector)
    return locator


class ElementFinder:
    """Finds elements by the selectors of a recipe.

    ``matched_selectors`` maps the first alternative of each selector to the alternative that matched last.
    """

    def __init__(self) -> None:
        self.matched_selectors: dict[str, str] = {}

    async def find(self, root: Page | Locator, selectors: Selectors, *, timeout_ms: int, visible: bool = True) -> Match:
        """Return the first alternative that matches, after waiting until any of them does.

        Raises:
            SiteChanged: no alternative matched within ``timeout_ms``.
        """
        if match := await self.find_present(root, selectors, visible=visible):
            return match
        # Wait for all alternatives in one locator, then find out which of them matched.
        any_of = reduce(lambda first, second: first.or_(second), (locate(root, chain) for chain in selectors))
        if visible:
            any_of = any_of.filter(visible=True)
        try:
            await any_of.first.wait_for(state="visible" if visible else "attached", timeout=timeout_ms)
        except PlaywrightTimeout as error:
            tried = [format_chain(chain) for chain in selectors]
            raise SiteChanged(f"Nothing on the page matches {', '.join(tried)}.", selectors=tried) from error
        return await self.find_present(root, selectors, visible=visible) or Match(any_of.first, selectors[0])

    async def find_present(self, root: Page | Locator, selectors: Selectors, *, visible: bool = False) -> Match | None:
        """Return the first alternative that matches now, without waiting; only visible elements if ``visible``."""
        for chain in selectors:
            locator = locate(root, chain)
            if visible:
                locator = locator.filter(visible=True)
            if await locator.count():
                self.matched_selectors[format_chain(selectors[0])] = format_chain(chain)
                return Match(locator.first, chain)
        return None

    async def find_all(self, root: Page | Locator, selectors: Selectors, limit: int) -> list[Locator]:
        """Return up to ``limit`` elements of one alternative: the first with a visible element, else the first."""
        for visible in (True, False):
            if match := await self.find_present(root, selectors, visible=visible):
                return (await locate(root, match.chain).all())[:limit]
        return []


def format_chain(chain: tuple[str, ...]) -> str:
    """Return a chain as one line."""
    return " > ".join(chain)


def _locate_selector(root: Page | Locator, selector: str) -> Locator:
    if selector.startswith("aria/"):
        return _locate_by_accessible_name(root, selector)
    if selector.startswith("text/"):
        return root.get_by_text(selector.removeprefix("text/"))
    if selector.startswith("xpath/"):
        return root.locator("xpath=" + selector.removeprefix("xpath/"))
    return root.locator(selector.removeprefix("pierce/"))


def _locate_by_accessible_name(root: Page | Locator, selector: str) -> Locator:
    match = ARIA.match(selector)
    name, role = (match["name"], match["role"]) if match else (selector, None)
    if role:
        return root.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type] # any role that a recipe names
    locator = root.get_by_label(name, exact=True)
    for clickable in CLICKABLE_ROLES:
        locator = locator.or_(root.get_by_role(clickable, name=name, exact=True))  # type: ignore[arg-type] # see above
    return locator
