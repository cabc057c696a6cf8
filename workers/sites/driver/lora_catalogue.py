"""The LoRA catalogue of a site's page: search it, and add an entry to the page's settings.

Catalogues may be virtual lists, which keep only the visible entries in the page: they are read by scrolling.
"""

import difflib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Locator, Page

from schemas.errors import LoraNotFound, SiteChanged
from schemas.sites.observe import Selectors
from schemas.sites.recipe import LorasSpec, Step
from workers.sites.driver.selectors import ElementFinder, format_chain

MAX_SUGGESTIONS = 3
MAX_ENTRIES = 200
MAX_SELECTED = 20
FIND_TIMEOUT_MS = 10_000
SEARCH_TIMEOUT_S = 2.0
POLL_INTERVAL_MS = 100
RunStep = Callable[[Step], Awaitable[None]]

READ_ITEM_SCRIPT = """(item, selectors) => {
  const all = (alternatives) => {
    for (const chain of alternatives) {
      const elements = item.querySelectorAll(chain[chain.length - 1]);
      if (elements.length) return [...elements];
    }
    return [];
  };
  const textOf = (element) => element.textContent.trim().slice(0, 500);
  const text = (alternatives) => all(alternatives).slice(0, 50).map(textOf);
  return {
    name: text(selectors.name)[0] || "",
    image: (all(selectors.image)[0] || {}).src || null,
    tags: text(selectors.tags),
    description: text(selectors.description)[0] || "",
  };
}"""
# Scroll the list beyond its last entry and let the page render; false if the list has ended.
SCROLL_SCRIPT = """async (item) => {
  let list = item.parentElement;
  while (list && !(list.scrollHeight > list.clientHeight && /auto|scroll/.test(getComputedStyle(list).overflowY))) {
    list = list.parentElement;
  }
  if (!list || list.scrollTop + list.clientHeight >= list.scrollHeight - 1) return false;
  list.scrollTop += list.clientHeight * 0.8;
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  return true;
}"""


class LoraCatalogue:
    """The catalogue on one page; ``run_step`` runs a step of the recipe."""

    def __init__(self, page: Page, recipe: LorasSpec, finder: ElementFinder, run_step: RunStep) -> None:
        self._page = page
        self._recipe = recipe
        self._finder = finder
        self._run_step = run_step

    async def search(self, query: str) -> list[dict[str, Any]]:
        """Return the entries found for ``query``, with ``name``, ``image`` (URL or None), ``tags``, ``description``."""
        await self._open()
        await self._type(query)
        return await self._read()

    async def add(self, name: str) -> None:
        """Replace the page's selected LoRAs by the one called ``name`` (case-insensitive).

        Raises:
            LoraNotFound: the catalogue has no such entry; the message suggests similar names.
        """
        await self.clear()
        await self._open()
        await self._type(name)
        item = await self._find_item(name)
        if item is None:
            raise await self._not_found(name)
        button = await self._finder.find(item, self._recipe.add, timeout_ms=FIND_TIMEOUT_MS)
        await button.locator.click(timeout=FIND_TIMEOUT_MS)
        for step in self._recipe.close:
            await self._run_step(step)

    async def clear(self) -> None:
        """Remove all LoRAs that the page has selected, for example those remembered from an earlier visit.

        Raises:
            SiteChanged: LoRAs remain selected after ``MAX_SELECTED`` removals.
        """
        if not self._recipe.remove:
            return
        for _ in range(MAX_SELECTED):
            match = await self._finder.find_present(self._page, self._recipe.remove)
            if match is None or not await match.locator.is_visible():
                return
            await match.locator.click(timeout=FIND_TIMEOUT_MS)
        selector = format_chain(self._recipe.remove[0])
        raise SiteChanged(f"The page still has a selected LoRA after {MAX_SELECTED} clicks on {selector}.")

    async def _not_found(self, name: str) -> LoraNotFound:
        await self._type("")
        name_by_key = {item["name"].casefold(): item["name"] for item in await self._read()}
        keys = difflib.get_close_matches(name.casefold(), name_by_key, MAX_SUGGESTIONS, cutoff=0)
        similar = [name_by_key[key] for key in keys]
        return LoraNotFound(
            f"The site has no LoRA {name!r}. Nearest: {', '.join(similar) or 'none'}.", suggestions=similar
        )

    async def _open(self) -> None:
        for step in self._recipe.open:
            await self._run_step(step)
        await self._finder.find(self._page, self._recipe.query, timeout_ms=FIND_TIMEOUT_MS)

    async def _type(self, query: str) -> None:
        field = await self._finder.find(self._page, self._recipe.query, timeout_ms=FIND_TIMEOUT_MS)
        await field.locator.fill(query, timeout=FIND_TIMEOUT_MS)
        if self._recipe.settle_ms:
            await self._page.wait_for_timeout(self._recipe.settle_ms)

    async def _find_item(self, name: str) -> Locator | None:
        """Return the entry called ``name``: the page may still be searching, and the entry may be far down the list."""
        key = name.casefold()
        give_up_at = time.monotonic() + SEARCH_TIMEOUT_S
        while True:
            items = await self._list_items()
            for item in items:
                if (await self._read_item(item))["name"].casefold() == key:
                    return item
            if items and await items[-1].evaluate(SCROLL_SCRIPT):
                continue
            if time.monotonic() > give_up_at:
                return None
            await self._page.wait_for_timeout(POLL_INTERVAL_MS)

    async def _list_items(self) -> list[Locator]:
        return await self._finder.find_all(self._page, self._recipe.item, MAX_ENTRIES)

    async def _read(self) -> list[dict[str, Any]]:
        """Return all entries, at most ``MAX_ENTRIES``, scrolling to the end of the list."""
        entries: dict[str, dict[str, Any]] = {}
        while True:
            items = await self._list_items()
            count_before = len(entries)
            for item in items:
                entry = await self._read_item(item)
                entries.setdefault(entry["name"], entry)
            is_full = len(entries) >= MAX_ENTRIES
            if len(entries) == count_before or is_full or not await items[-1].evaluate(SCROLL_SCRIPT):
                return list(entries.values())[:MAX_ENTRIES]

    async def _read_item(self, item: Locator) -> dict[str, Any]:
        selectors: dict[str, Selectors] = {
            "name": self._recipe.name,
            "image": self._recipe.image,
            "tags": self._recipe.tags,
            "description": self._recipe.description,
        }
        entry: dict[str, Any] = await item.evaluate(READ_ITEM_SCRIPT, selectors, timeout=FIND_TIMEOUT_MS)
        if not entry["name"]:
            raise SiteChanged("An entry of the site's LoRA catalogue has no name.")
        return entry
