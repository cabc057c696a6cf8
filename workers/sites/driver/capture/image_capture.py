"""Fetches the original bytes of the images that a page shows.

The methods are tried in order of fidelity: the response that the page loaded, a read inside the page (blob:, data: and
same-origin URLs), a request of the browser, and at last a screenshot of the element, which is marked as lossy.
"""

import asyncio
import base64
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from playwright.async_api import ElementHandle, Error, Page, Response

from schemas.errors import ResultRefused, ServiceError, SiteChanged
from schemas.jobs.job import GeneratedImage
from workers.images import convert
from workers.sites.diagnostics.redaction import redact_url
from workers.sites.driver.capture.browser_fetch import fetch_url
from workers.sites.driver.capture.downloads import Downloads
from workers.sites.observer.frames import decode_data_url

MAX_RESPONSES = 32
STEP_TIMEOUT_S = 15.0
PREVIEW_TIMEOUT_S = 3.0
SCREENSHOT_TIMEOUT_MS = 10_000
MAX_IMAGES = 64
# How many pictures of before the submission are fetched to compare their bytes, and for how long.
MAX_KNOWN_IMAGES = 16
KNOWN_TIMEOUT_S = 3.0
RESULTS_TIMEOUT_MS = 10_000
MAX_FAILED_IMAGES = 5
MAX_URL_CHARS = 200
RESULTS_SCRIPT = "ms => window.__darkroom.results(ms)"
# A screenshot of an image element that has not loaded would show no picture.
SHOWS_PICTURE_SCRIPT = "element => !(element instanceof HTMLImageElement) || element.naturalWidth > 0"
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
    """Remembers the responses of a page that may be images, and fetches images by URL or element.

    Pictures that were on the page before the prompt was submitted are known, and never captured as results.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._responses: OrderedDict[str, Response] = OrderedDict()
        self._failed_images: dict[str, int] = {}
        # By URL, the digest of the bytes; None if they could not be fetched.
        self._known: dict[str, str | None] = {}
        self._downloads = Downloads(page)
        page.on("response", self._remember_response)

    def _remember_response(self, response: Response) -> None:
        # Scripts fetch images too, and then show them by a blob: or data: URL.
        if response.request.resource_type in ("image", "fetch", "xhr"):
            self._responses[response.url] = response
            if len(self._responses) > MAX_RESPONSES:
                self._responses.popitem(last=False)
        is_failed_image = response.request.resource_type == "image" and response.status >= 400
        if is_failed_image and len(self._failed_images) < MAX_FAILED_IMAGES:
            self._failed_images[redact_url(response.url[:MAX_URL_CHARS])] = response.status

    async def remember(self, urls: Sequence[str]) -> None:
        """Remember the pictures that the page shows before the prompt is submitted, by address and bytes."""
        self._failed_images.clear()
        self._known = dict.fromkeys(urls)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KNOWN_TIMEOUT_S):
                for url in urls[:MAX_KNOWN_IMAGES]:
                    data = await self._fetch_original(url)
                    self._known[url] = _digest(data) if data else None

    def remember_bytes(self, data: bytes) -> None:
        """Remember a picture that was given to the page: it is no result, whatever its address becomes."""
        digest = _digest(data)
        self._known[digest] = digest

    def describe_failed_images(self) -> str:
        """Return a sentence about pictures of the page that could not be loaded; empty if there are none."""
        failed = ", ".join(f"{url}: {status}" for url, status in self._failed_images.items())
        return f"Pictures of the page cannot be loaded: {failed}." if failed else ""

    async def capture_results(self, source: str, *, many: bool) -> list[GeneratedImage]:
        """Return the new pictures that the page shows: all of them if ``many``, else only the first.

        Elements with the same URL count once. Empty if the page shows only pictures that it has shown before.

        Raises:
            SiteChanged: no element matches, or an image cannot be fetched.
        """
        element_by_url: dict[str, ElementHandle] = {}
        for element in await self._find_results():
            element_by_url.setdefault(str(await element.evaluate(IMAGE_URL_SCRIPT, source)), element)
        images: list[GeneratedImage] = []
        for url, element in element_by_url.items():
            image = await self.capture(url, element)
            if not self._is_known(url, image):
                images.append(image)
                if not many:
                    break
        return images

    async def _find_results(self) -> list[ElementHandle]:
        handle = await self._page.evaluate_handle(RESULTS_SCRIPT, RESULTS_TIMEOUT_MS)
        elements = [value.as_element() for value in (await handle.get_properties()).values()]
        if found := [element for element in elements[:MAX_IMAGES] if element]:
            return found
        raise SiteChanged("The page has finished, but the elements with its pictures are not there.")

    def _is_known(self, url: str, image: GeneratedImage) -> bool:
        """Whether the picture was on the page before; a picture that could not be compared is recognised by its URL."""
        if url in self._known and self._known[url] is None:
            return True
        return _digest(image.data) in self._known.values()

    async def capture_urls(self, urls: Sequence[str]) -> list[GeneratedImage]:
        """Return the images at ``urls``; raises SiteChanged if one cannot be fetched."""
        return [await self.capture(url, None) for url in urls[:MAX_IMAGES]]

    async def capture_download(self, start: Callable[[], Awaitable[None]]) -> list[GeneratedImage]:
        """Run ``start`` and return the image that the page then downloads.

        Raises:
            ResultRefused: the file is too large or not a picture.
            SiteChanged: the page's download does not end.
        """
        data = await self._downloads.fetch(start)
        return [await asyncio.to_thread(convert.identify, data)]

    async def capture(self, url: str, element: ElementHandle | None) -> GeneratedImage:
        """Return the image at ``url``; if it cannot be fetched, a screenshot of ``element``.

        Raises:
            SiteChanged: the image cannot be fetched and there is no element that shows it.
            ResultRefused: it has too many bytes, or is no picture and there is no element.
        """
        refusal: ResultRefused | None = None
        for method in self._methods():
            try:
                data = await self._try(method, url)
                if data:
                    return await asyncio.to_thread(convert.identify, data)
            except ResultRefused as error:
                # A screenshot is no substitute for a picture that is only too large.
                if error.details["reason"] == "too_large":
                    raise
                refusal = error
            except (SiteChanged, ValueError):
                # URL, length and bytes come from the page and may be malformed: try the next method.
                continue
        if element is None or not await element.evaluate(SHOWS_PICTURE_SCRIPT):
            reason = f"The page names an image that cannot be fetched. {self.describe_failed_images()}".strip()
            raise refusal or SiteChanged(reason)
        return await self._take_screenshot(element)

    async def _fetch_original(self, url: str) -> bytes | None:
        """Return the bytes at ``url``; None if no method succeeds."""
        for method in self._methods():
            if data := await self._try(method, url):
                return data
        return None

    def _methods(self) -> tuple[Callable[[str], Awaitable[bytes | None]], ...]:
        return (self._decode, self._read_response, self._read_in_page, self._fetch)

    async def _try(self, method: Callable[[str], Awaitable[bytes | None]], url: str) -> bytes | None:
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                return await method(url)
        except (Error, TimeoutError, ValueError):
            return None

    async def _decode(self, url: str) -> bytes | None:
        return decode_data_url(url)

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

    async def _take_screenshot(self, element: ElementHandle) -> GeneratedImage:
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


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
