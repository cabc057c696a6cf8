"""Opens what hides elements of a page: a tab, an accordion, a column that a checkbox shows."""

import asyncio
import contextlib
import time

from playwright.async_api import ElementHandle, Error, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from schemas.errors import SiteChanged
from schemas.sites.observe import Selectors
from workers.sites.driver.forms.fields import DRAWN_SCRIPT
from workers.sites.driver.playwright_errors import is_closed
from workers.sites.driver.selectors import ElementFinder, format_chain, locate

MAX_OPENERS = 20
POLL_INTERVAL_S = 0.05


async def open_for(page: Page, openers: Selectors, hidden: Selectors, timeout_ms: int) -> None:
    """Click the openers in turn until one of the ``hidden`` elements is visible; does nothing if one is already.

    Raises:
        SiteChanged: no opener is on the page, or none makes an element visible.
    """
    # A separate finder: its attempts must not count as matches of the recipe's selectors.
    finder = ElementFinder()
    if await finder.find_present(page, hidden, visible=True):
        return
    await finder.find(page, (*hidden, *openers), timeout_ms=timeout_ms)
    await page.evaluate(DRAWN_SCRIPT)
    if await finder.find_present(page, hidden, visible=True):
        return
    elements = [
        element for chain in openers for element in await locate(page, chain).filter(visible=True).element_handles()
    ][:MAX_OPENERS]
    for element in elements:
        share_ms = timeout_ms / len(elements)
        if await _click(element, share_ms) and await _appears(finder, page, hidden, share_ms):
            return
    clicked = ", ".join(format_chain(chain) for chain in openers)
    tried = [format_chain(chain) for chain in hidden]
    raise SiteChanged(
        f"After a click on each of {len(elements)} elements ({clicked}), nothing visible matches {', '.join(tried)}.",
        selectors=tried,
    )


async def _click(element: ElementHandle, timeout_ms: float) -> bool:
    """Click an element that an earlier click may have hidden or removed; returns whether it was clicked."""
    try:
        await element.click(timeout=timeout_ms)
    except PlaywrightTimeout:
        return False
    except Error as error:
        if is_closed(error):
            raise
        return False
    return True


async def _appears(finder: ElementFinder, page: Page, hidden: Selectors, timeout_ms: float) -> bool:
    give_up_at = time.monotonic() + timeout_ms / 1000
    while time.monotonic() < give_up_at:
        with contextlib.suppress(PlaywrightTimeout):
            if await finder.find_present(page, hidden, visible=True):
                return True
        await asyncio.sleep(POLL_INTERVAL_S)
    return False
