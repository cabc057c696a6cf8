"""A site's catalogue of LoRAs: search it, read it, add one to the page's settings."""

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
      const found = item.querySelectorAll(chain[chain.length - 1]);
      if (found.length) return [...found];
    }
    return [];
  };
  const words = (element) => element.textContent.trim().slice(0, 500);
  const text = (alternatives) => all(alternatives).slice(0, 50).map(words);
  return {
    name: text(selectors.name)[0] || "",
    image: (all(selectors.image)[0] || {}).src || null,
    tags: text(selectors.tags),
    description: text(selectors.description)[0] || "",
  };
}"""


# Whether there is more of the list below its last entry; scrolls there and lets the page draw.
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
    """The catalogue of the site on a page; ``play`` runs one of the recipe's steps."""

    def __init__(self, page: Page, recipe: LorasSpec, finder: ElementFinder, run_step: RunStep) -> None:
        """Nothing is opened yet."""
        self._page = page
        self._recipe = recipe
        self._finder = finder
        self._run_step = run_step

    async def search(self, query: str) -> list[dict[str, Any]]:
        """What the site finds for ``words``: ``name``, ``image`` (an address or None), ``tags``, ``description``."""
        await self._open()
        await self._type(query)
        return await self._read()

    async def add(self, name: str) -> None:
        """Add the LoRA of that name (case does not matter).

        Raises:
            LoraNotFound: the site has none; the message suggests the nearest names.
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
        """Take away every LoRA that the page has chosen already, such as those of an earlier visit.

        Raises:
            SiteChanged: the page keeps one however often it is taken away.
        """
        if not self._recipe.remove:
            return
        for _ in range(MAX_SELECTED):
            match = await self._finder.find_present(self._page, self._recipe.remove)
            if match is None or not await match.locator.is_visible():
                return
            await match.locator.click(timeout=FIND_TIMEOUT_MS)
        raise SiteChanged(f"The page keeps a LoRA although {format_chain(self._recipe.remove[0])} was pressed.")

    async def _not_found(self, name: str) -> LoraNotFound:
        await self._type("")
        known = [item["name"] for item in await self._read()]
        folded = {one.casefold(): one for one in known}
        near = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, MAX_SUGGESTIONS, cutoff=0)]
        return LoraNotFound(f"There is no LoRA {name!r}. Nearest: {', '.join(near) or 'none'}.", suggestions=near)

    async def _open(self) -> None:
        for step in self._recipe.open:
            await self._run_step(step)
        await self._finder.find(self._page, self._recipe.query, timeout_ms=FIND_TIMEOUT_MS)

    async def _type(self, words: str) -> None:
        query = await self._finder.find(self._page, self._recipe.query, timeout_ms=FIND_TIMEOUT_MS)
        await query.locator.fill(words, timeout=FIND_TIMEOUT_MS)
        if self._recipe.settle_ms:
            await self._page.wait_for_timeout(self._recipe.settle_ms)

    async def _find_item(self, name: str) -> Locator | None:
        """The entry of that name, once the page has found it: it may take its time, and have it far down its list."""
        wanted = name.casefold()
        until = time.monotonic() + SEARCH_TIMEOUT_S
        while True:
            items = await self._list_items()
            for item in items:
                if (await self._read_item(item))["name"].casefold() == wanted:
                    return item
            if items and await items[-1].evaluate(SCROLL_SCRIPT):
                continue
            if time.monotonic() > until:
                return None
            await self._page.wait_for_timeout(POLL_INTERVAL_MS)

    async def _list_items(self) -> list[Locator]:
        return await self._finder.find_all(self._page, self._recipe.item, MAX_ENTRIES)

    async def _read(self) -> list[dict[str, Any]]:
        """All entries, of a list too that keeps only those in view in the page: it is scrolled to its end."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            items = await self._list_items()
            before = len(found)
            for item in items:
                read = await self._read_item(item)
                found.setdefault(read["name"], read)
            if len(found) == before or len(found) >= MAX_ENTRIES or not await items[-1].evaluate(SCROLL_SCRIPT):
                return list(found.values())[:MAX_ENTRIES]

    async def _read_item(self, item: Locator) -> dict[str, Any]:
        wanted: dict[str, Selectors] = {
            "name": self._recipe.name,
            "image": self._recipe.image,
            "tags": self._recipe.tags,
            "description": self._recipe.description,
        }
        read: dict[str, Any] = await item.evaluate(READ_ITEM_SCRIPT, wanted, timeout=FIND_TIMEOUT_MS)
        if not read["name"]:
            raise SiteChanged("An entry of the site's catalogue has no name.")
        return read
