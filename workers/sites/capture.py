"""Owns the fetching of a finished picture's exact bytes from a page, by a ladder of ways, the most faithful first.

Used by ``workers.sites.driver`` once the page shows its result.
"""

import asyncio
import base64
from collections import OrderedDict
from urllib.parse import urlsplit

from playwright.async_api import Error, Page, Response

from schemas.errors import ServiceError, SiteChanged
from schemas.jobs import Picture
from schemas.sites import Selectors
from workers import pictures
from workers.sites.selectors import find

RESPONSES_KEPT = 32
STEP_TIMEOUT_S = 15.0
SCREENSHOT_TIMEOUT_MS = 10_000


class Capture:
    """Remembers the pictures that a page loads, and fetches the one that it shows as its result."""

    def __init__(self, page: Page) -> None:
        """Listens to the page from now on."""
        self._page = page
        self._responses: OrderedDict[str, Response] = OrderedDict()
        page.on("response", self._remember)

    def _remember(self, response: Response) -> None:
        if response.request.resource_type in ("image", "fetch", "xhr"):
            self._responses[response.url] = response
            if len(self._responses) > RESPONSES_KEPT:
                self._responses.popitem(last=False)

    async def picture(self, url: str, shown: Selectors) -> Picture:
        """The picture at ``url``, which the element ``shown`` shows.

        Raises:
            SiteChanged: no way leads to it.
        """
        for way in (self._from_response, self._from_page, self._from_context):
            try:
                async with asyncio.timeout(STEP_TIMEOUT_S):
                    data = await way(url)
                if data:
                    return await asyncio.to_thread(pictures.inspect, data)
            except (Error, TimeoutError, SiteChanged):
                continue
        return await self._from_screen(shown)

    async def _from_response(self, url: str) -> bytes | None:
        response = self._responses.get(url)
        if response is None or not response.ok:
            return None
        data = await response.body()
        promised = response.headers.get("content-length")
        whole = promised is None or "content-encoding" in response.headers or int(promised) == len(data)
        # Chromium forgets a body that the page has turned into a Blob, and Playwright then answers with no bytes.
        return data if data and whole else None

    async def _from_page(self, url: str) -> bytes | None:
        parts = urlsplit(url)
        here = urlsplit(self._page.url)
        if parts.scheme not in ("blob", "data") and (parts.scheme, parts.netloc) != (here.scheme, here.netloc):
            return None
        return base64.b64decode(await self._page.evaluate("url => window.__darkroom.read(url)", url))

    async def _from_context(self, url: str) -> bytes | None:
        if not url.startswith(("http://", "https://")):
            return None
        answer = await self._page.context.request.get(url, timeout=STEP_TIMEOUT_S * 1000)
        return await answer.body() if answer.ok else None

    async def _from_screen(self, shown: Selectors) -> Picture:
        match = await find(self._page, shown, timeout_ms=SCREENSHOT_TIMEOUT_MS)
        data = await match.locator.screenshot(type="png", timeout=SCREENSHOT_TIMEOUT_MS)
        return await asyncio.to_thread(pictures.inspect, data, lossy=True)

    async def preview(self, url: str) -> bytes | None:
        """A preview that the page may show but not read, fetched and shrunk; None if that fails."""
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                data = await self._from_context(url)
            return await asyncio.to_thread(pictures.shrink, data) if data else None
        except (Error, TimeoutError, ServiceError):
            return None
