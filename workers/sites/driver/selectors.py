"""The meaning of a recipe's selectors: from the Recorder's notation to Playwright's locators."""

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
    """An element and the alternative that found it."""

    locator: Locator
    chain: tuple[str, ...]

    @property
    def selector(self) -> str:
        """The alternative in one line."""
        return format_chain(self.chain)


def locate(root: Page | Locator, chain: tuple[str, ...]) -> Locator:
    """The elements that a chain of selectors means, each inside the one before."""
    first, *rest = chain
    found = _locate_selector(root, first)
    for selector in rest:
        found = _locate_selector(found, selector)
    return found


class ElementFinder:
    """Finds elements by a recipe's selectors, and remembers which alternative it was each time."""

    def __init__(self) -> None:
        """Nothing is found yet."""
        self.matched_selectors: dict[str, str] = {}

    async def find(self, root: Page | Locator, selectors: Selectors, *, timeout_ms: int, visible: bool = True) -> Match:
        """The first alternative that is on the page, waiting for any of them.

        Raises:
            SiteChanged: none of them appeared in time.
        """
        if match := await self.find_present(root, selectors, visible=visible):
            return match
        anyone = reduce(lambda one, other: one.or_(other), (locate(root, chain) for chain in selectors))
        if visible:
            anyone = anyone.filter(visible=True)
        try:
            await anyone.first.wait_for(state="visible" if visible else "attached", timeout=timeout_ms)
        except PlaywrightTimeout as error:
            tried = [format_chain(chain) for chain in selectors]
            raise SiteChanged(f"Nothing on the page matches {', '.join(tried)}.", selectors=tried) from error
        return await self.find_present(root, selectors, visible=visible) or Match(anyone.first, selectors[0])

    async def find_present(self, root: Page | Locator, selectors: Selectors, *, visible: bool = False) -> Match | None:
        """The first alternative that is on the page now; one that can be seen, if it must be ``visible``."""
        for chain in selectors:
            locator = locate(root, chain)
            if visible:
                locator = locator.filter(visible=True)
            if await locator.count():
                self.matched_selectors[format_chain(selectors[0])] = format_chain(chain)
                return Match(locator.first, chain)
        return None

    async def find_all(self, root: Page | Locator, selectors: Selectors, limit: int) -> list[Locator]:
        """All elements of one alternative, at most so many: the first that can be seen, or else that is there."""
        for visible in (True, False):
            if match := await self.find_present(root, selectors, visible=visible):
                return (await locate(root, match.chain).all())[:limit]
        return []


def format_chain(chain: tuple[str, ...]) -> str:
    """A chain of selectors as one line."""
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
    found = ARIA.match(selector)
    name, role = (found["name"], found["role"]) if found else (selector, None)
    if role:
        return root.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type] # the recipe's word, any role
    named = root.get_by_label(name, exact=True)
    for clickable in CLICKABLE_ROLES:
        named = named.or_(root.get_by_role(clickable, name=name, exact=True))  # type: ignore[arg-type] # one of the tuple above
    return named
