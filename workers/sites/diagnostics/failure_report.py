"""The failure report of an attempt: URL, screenshot, console, failed requests and DOM of the page, all redacted.

Text comes from the page and is untrusted. It is truncated before redaction (``redaction``).
"""

import asyncio
import base64
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Error, Page, Request, Response

from workers.sites.diagnostics.redaction import redact, redact_in_process, redact_url

MAX_LINES = 50
MAX_LINE_CHARS = 500
MAX_DOM_CHARS = 256 * 1024
STEP_TIMEOUT_S = 3.0
# Cut in the page: a hostile one may be larger than the worker's memory.
DOM_SCRIPT = "length => document.documentElement.outerHTML.slice(0, length)"
# Pages with other schemes, such as file:, do not belong to the site.
REPORTED_SCHEMES = frozenset({"http", "https", "about", "chrome-error"})


class FailureReport:
    """Collects the console and the failed requests of a page, and builds the report.

    ``explanation`` describes the step whose selectors matched nothing, if that was the failure.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.explanation: dict[str, Any] | None = None
        self._requests: deque[str] = deque(maxlen=MAX_LINES)
        page.on("requestfailed", self._on_request_failed)
        page.on("response", self._on_response)

    def _on_request_failed(self, request: Request) -> None:
        self._requests.append(
            f"{request.method} {redact_url(request.url[:MAX_LINE_CHARS])}: {request.failure}"[:MAX_LINE_CHARS]
        )

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            line = f"{response.request.method} {redact_url(response.url[:MAX_LINE_CHARS])}: {response.status}"
            self._requests.append(line[:MAX_LINE_CHARS])

    async def build(self) -> dict[str, Any]:
        """Return the report as JSON: url, screenshot, viewport, console, requests, dom, explanation.

        ``screenshot`` (a JPEG as a data: URL) and ``dom`` are null if the page does not answer or is no web page;
        ``viewport`` is the size of the screenshot in CSS pixels.
        ``explanation`` has
        ``step``, the ``selectors`` tried, and as ``similar`` the most similar elements with matching selectors; it is
        null unless a selector matched nothing.
        """
        is_shown = urlsplit(self._page.url).scheme in REPORTED_SCHEMES
        return {
            "url": redact_url(self._page.url),
            "screenshot": await self._screenshot() if is_shown else None,
            "viewport": self._page.viewport_size,
            "console": await self._read_console(),
            "requests": list(self._requests),
            "dom": await self._dom() if is_shown else None,
            "explanation": self.explanation,
        }

    async def _read_console(self) -> list[str]:
        """Return the newest messages and uncaught errors. Playwright keeps them; a page that floods sends none here."""
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                messages = await self._page.console_messages()
                errors = await self._page.page_errors()
        except (Error, TimeoutError):
            return []
        lines = [f"{message.type}: {message.text}" for message in messages]
        lines += [f"uncaught: {error}" for error in errors]
        return [redact(line[:MAX_LINE_CHARS]) for line in lines[-MAX_LINES:]]

    async def _screenshot(self) -> str | None:
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                data = await self._page.screenshot(type="jpeg", quality=60)
        except (Error, TimeoutError):
            return None
        return "data:image/jpeg;base64," + base64.b64encode(data).decode()

    async def _dom(self) -> str | None:
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                dom = await self._page.evaluate(DOM_SCRIPT, MAX_DOM_CHARS)
        except (Error, TimeoutError):
            return None
        return await redact_in_process(dom[:MAX_DOM_CHARS]) if isinstance(dom, str) else None
