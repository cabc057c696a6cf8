"""Fetches the original bytes of the images that a page shows.

The methods are tried in order of fidelity: the response that the page loaded, a read inside the page (blob:, data: and
same-origin URLs), a request of the browser, and at last a screenshot of the element, which is marked as lossy.
"""

import asyncio
import base64
import tempfile
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Error, Locator, Page, Response

from schemas.errors import ResultRefused, ServiceError, SiteChanged
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
# The URL of the image that an element shows; of a canvas, its content as a data: URL.
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
    """Remembers the responses of a page that may be images, and fetches images by URL or element."""

    def __init__(self, page: Page, finder: ElementFinder) -> None:
        self._page = page
        self._finder = finder
        self._responses: OrderedDict[str, Response] = OrderedDict()
        page.on("response", self._remember)

    def _remember(self, response: Response) -> None:
        # Scripts fetch images too, and then show them by a blob: or data: URL.
        if response.request.resource_type in ("image", "fetch", "xhr"):
            self._responses[response.url] = response
            if len(self._responses) > MAX_RESPONSES:
                self._responses.popitem(last=False)

    async def capture_elements(self, selectors: Selectors, source: str, *, many: bool) -> list[GeneratedImage]:
        """Return the images that the matching elements show: all of them if ``many``, else only the first.

        Elements with the same URL count once.

        Raises:
            SiteChanged: no element matches, or an image cannot be fetched.
        """
        await self._finder.find(self._page, selectors, timeout_ms=SCREENSHOT_TIMEOUT_MS, visible=False)
        elements = await self._finder.find_all(self._page, selectors, MAX_IMAGES if many else 1)
        urls = [str(await element.evaluate(IMAGE_URL_SCRIPT, source)) for element in elements]
        element_by_url = dict(zip(urls, elements, strict=True))
        return [await self.capture(url, element) for url, element in element_by_url.items()]

    async def capture_urls(self, urls: Sequence[str]) -> list[GeneratedImage]:
        """Return the images at ``urls``; raises SiteChanged if one cannot be fetched."""
        return [await self.capture(url, None) for url in urls]

    async def capture_download(self, start: Callable[[], Awaitable[None]]) -> list[GeneratedImage]:
        """Run ``start`` and return the image that the page then downloads; raises SiteChanged if it is not an image."""
        async with self._page.expect_download(timeout=DOWNLOAD_TIMEOUT_MS) as download:
            await start()
        # The download's own path is on the browser's machine, which may be another one.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image"
            await (await download.value).save_as(path)
            return [await asyncio.to_thread(lambda: convert.identify(path.read_bytes()))]

    async def capture(self, url: str, element: Locator | None) -> GeneratedImage:
        """Return the image at ``url``; if it cannot be fetched, a screenshot of ``element``.

        Raises:
            SiteChanged: the image cannot be fetched and there is no element.
            ResultRefused: it has too many bytes, or is no picture and there is no element.
        """
        refusal: ResultRefused | None = None
        for method in (self._read_response, self._read_in_page, self._fetch):
            try:
                async with asyncio.timeout(STEP_TIMEOUT_S):
                    data = await method(url)
                if data:
                    return await asyncio.to_thread(convert.identify, data)
            except ResultRefused as error:
                # A screenshot is no substitute for a picture that is only too large.
                if error.details["reason"] == "too_large":
                    raise
                refusal = error
            except (Error, TimeoutError, SiteChanged, ValueError):
                # URL, length and bytes come from the page and may be malformed: try the next method.
                continue
        if element is None:
            raise refusal or SiteChanged("The page names an image that cannot be fetched.")
        return await self._take_screenshot(element)

    async def _read_response(self, url: str) -> bytes | None:
        response = self._responses.get(url)
        if response is None or not response.ok:
            return None
        data = await response.body()
        length = response.headers.get("content-length")
        is_complete = length is None or "content-encoding" in response.headers or int(length) == len(data)
        # Chromium discards a body that the page has read as a Blob; Playwright then returns no bytes and no error.
        return data if data and is_complete else None

    async def _read_in_page(self, url: str) -> bytes | None:
        parts = urlsplit(url)
        page_parts = urlsplit(self._page.url)
        is_same_origin = (parts.scheme, parts.netloc) == (page_parts.scheme, page_parts.netloc)
        if parts.scheme not in ("blob", "data") and not is_same_origin:
            return None
        return base64.b64decode(await self._page.evaluate("url => window.__darkroom.read(url)", url))

    async def _fetch(self, url: str) -> bytes | None:
        return await fetch_url(self._page, url) if url.startswith(("http://", "https://")) else None

    async def _take_screenshot(self, element: Locator) -> GeneratedImage:
        data = await element.screenshot(type="png", timeout=SCREENSHOT_TIMEOUT_MS)
        return await asyncio.to_thread(convert.identify, data, lossy=True)

    async def shrink_preview(self, data: bytes) -> bytes | None:
        """Return a preview as a small JPEG; None if ``data`` is not an image."""
        try:
            if await asyncio.to_thread(convert.is_preview_jpeg, data):
                return data
            return await asyncio.to_thread(convert.make_preview, data)
        except ServiceError:
            return None

    async def fetch_preview(self, url: str) -> bytes | None:
        """Fetch and shrink a preview that the page may not read itself (cross-origin); None if that fails."""
        try:
            async with asyncio.timeout(PREVIEW_TIMEOUT_S):
                data = await self._fetch(url)
            return await asyncio.to_thread(convert.make_preview, data) if data else None
        except (Error, TimeoutError, ServiceError, ValueError):
            return None
