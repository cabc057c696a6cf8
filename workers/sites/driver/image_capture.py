"""The fetching of a finished picture's exact bytes from a page, by a ladder of ways, the most faithful first."""

import asyncio
import base64
import tempfile
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Error, Locator, Page, Response

from schemas.errors import ServiceError, SiteChanged
from schemas.jobs.job import GeneratedImage
from schemas.sites.observe import Selectors
from workers.images import convert
from workers.sites.driver.browser_fetch import fetch_url
from workers.sites.driver.selectors import ElementFinder

MAX_RESPONSES = 32
STEP_TIMEOUT_S = 15.0
PREVIEW_TIMEOUT_S = 3.0
SCREENSHOT_TIMEOUT_MS = 10_000
DOWNLOAD_TIMEOUT_MS = 30_000
MAX_IMAGES = 64
# Where an element's picture is; a canvas is read as it is.
IMAGE_URL_SCRIPT = """(element, source) => {
  try {
    if (element instanceof HTMLCanvasElement) return element.toDataURL("image/png");
  } catch (error) {
    return "";
  }
  if (source === "background-image") {
    return (getComputedStyle(element).backgroundImage.match(/url\\("(.*)"\\)/) || [])[1] || "";
  }
  if (source === "poster") return element.poster || "";
  return element.currentSrc || element.src || element.href || "";
}"""


class ImageCapture:
    """Remembers the pictures that a page loads, and fetches the one that it shows as its result."""

    def __init__(self, page: Page, finder: ElementFinder) -> None:
        """Listens to the page from now on."""
        self._page = page
        self._finder = finder
        self._responses: OrderedDict[str, Response] = OrderedDict()
        page.on("response", self._remember)

    def _remember(self, response: Response) -> None:
        if response.request.resource_type in ("image", "fetch", "xhr"):
            self._responses[response.url] = response
            if len(self._responses) > MAX_RESPONSES:
                self._responses.popitem(last=False)

    async def capture_elements(self, selectors: Selectors, source: str, *, many: bool) -> list[GeneratedImage]:
        """The pictures that the elements ``selectors`` show, or only the first one's.

        Raises:
            SiteChanged: there are no such elements, or no way leads to a picture.
        """
        await self._finder.find(self._page, selectors, timeout_ms=SCREENSHOT_TIMEOUT_MS, visible=False)
        elements = await self._finder.find_all(self._page, selectors, MAX_IMAGES if many else 1)
        addresses = [str(await element.evaluate(IMAGE_URL_SCRIPT, source)) for element in elements]
        each = dict(zip(addresses, elements, strict=True))
        return [await self.capture(address, element) for address, element in each.items()]

    async def capture_urls(self, urls: Sequence[str]) -> list[GeneratedImage]:
        """The pictures at ``urls``; raises SiteChanged as ``shown`` does."""
        return [await self.capture(url, None) for url in urls]

    async def capture_download(self, start: Callable[[], Awaitable[None]]) -> list[GeneratedImage]:
        """The picture in the file that ``start`` makes the page hand out; raises SiteChanged as ``shown`` does."""
        async with self._page.expect_download(timeout=DOWNLOAD_TIMEOUT_MS) as coming:
            await start()
        # Not by its path: a browser elsewhere has its files elsewhere.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture"
            await (await coming.value).save_as(path)
            return [await asyncio.to_thread(lambda: convert.identify(path.read_bytes()))]

    async def capture(self, url: str, element: Locator | None) -> GeneratedImage:
        """The picture at ``url``, which ``element`` shows.

        Raises:
            SiteChanged: no way leads to it.
        """
        for way in (self._read_response, self._read_in_page, self._fetch):
            try:
                async with asyncio.timeout(STEP_TIMEOUT_S):
                    data = await way(url)
                if data:
                    return await asyncio.to_thread(convert.identify, data)
            except (Error, TimeoutError, SiteChanged, ValueError):
                # Addresses, lengths and bytes come from the page, and may be anything.
                continue
        if element is None:
            raise SiteChanged("The page names a picture that cannot be fetched.")
        return await self._take_screenshot(element)

    async def _read_response(self, url: str) -> bytes | None:
        response = self._responses.get(url)
        if response is None or not response.ok:
            return None
        data = await response.body()
        promised = response.headers.get("content-length")
        whole = promised is None or "content-encoding" in response.headers or int(promised) == len(data)
        # Chromium forgets a body that the page has turned into a Blob, and Playwright then answers with no bytes.
        return data if data and whole else None

    async def _read_in_page(self, url: str) -> bytes | None:
        parts = urlsplit(url)
        here = urlsplit(self._page.url)
        if parts.scheme not in ("blob", "data") and (parts.scheme, parts.netloc) != (here.scheme, here.netloc):
            return None
        return base64.b64decode(await self._page.evaluate("url => window.__darkroom.read(url)", url))

    async def _fetch(self, url: str) -> bytes | None:
        return await fetch_url(self._page, url) if url.startswith(("http://", "https://")) else None

    async def _take_screenshot(self, element: Locator) -> GeneratedImage:
        data = await element.screenshot(type="png", timeout=SCREENSHOT_TIMEOUT_MS)
        return await asyncio.to_thread(convert.identify, data, lossy=True)

    async def shrink_preview(self, data: bytes) -> bytes | None:
        """A preview of any size as a small JPEG; None if it is no picture."""
        try:
            if await asyncio.to_thread(convert.is_preview_jpeg, data):
                return data
            return await asyncio.to_thread(convert.make_preview, data)
        except ServiceError:
            return None

    async def fetch_preview(self, url: str) -> bytes | None:
        """A preview that the page may show but not read, fetched and shrunk; None if that fails."""
        try:
            async with asyncio.timeout(PREVIEW_TIMEOUT_S):
                data = await self._fetch(url)
            return await asyncio.to_thread(convert.make_preview, data) if data else None
        except (Error, TimeoutError, ServiceError, ValueError):
            return None
