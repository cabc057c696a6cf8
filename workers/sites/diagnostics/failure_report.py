"""The failure report of an attempt: URL, screenshot, console, failed requests and DOM of the page, all redacted.

Text comes from the page and is untrusted. It is truncated before redaction, and every pattern takes linear time,
because Python's ``re`` holds the GIL: a slow pattern would stall all jobs of the worker.
"""

import asyncio
import base64
import re
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import ConsoleMessage, Error, Page, Request, Response

MAX_LINES = 50
MAX_LINE_CHARS = 500
MAX_DOM_CHARS = 256 * 1024
STEP_TIMEOUT_S = 3.0
REDACTED = "[redacted]"
SENSITIVE_NAME = (
    r"(?:api[-_]?key|access[-_]?token|auth|authorization|bearer|cookie|csrf|jwt|passw(?:or)?d|secret|session|sid|token)"
)
SECRET_ATTRIBUTE = rf"""(?:{SENSITIVE_NAME}|type=["']?(?:hidden|password))"""
ATTRIBUTE_VALUE = r"""("[^"]*"|'[^']*'|[^\s>]+)"""
SECRET_PATTERNS = (
    # name=value and "name": "value"
    (
        re.compile(rf"""(?i)({SENSITIVE_NAME}[\w-]{{0,40}}["']?\s{{0,4}}[:=]\s{{0,4}}["']?)([^"'\s&;,<>]+)"""),
        rf"\1{REDACTED}",
    ),
    # <input type=hidden|password value=…>, <meta name="csrf…" content=…>
    (
        re.compile(
            rf"(?i)(<(?:input|meta)\b[^<>]{{0,400}}{SECRET_ATTRIBUTE}[^<>]{{0,400}}?\b(?:value|content)=){ATTRIBUTE_VALUE}"
        ),
        rf'\1"{REDACTED}"',
    ),
)
# The characters of JSON Web Tokens. The lookbehind lets a match begin at the start of a run only, so that each run is
# scanned once.
TOKEN_RUN = re.compile(r"(?<![\w.-])[\w.-]+")
TOKEN_START = "eyJ"  # noqa: S105 - base64 of '{"', with which the header of a token begins


class FailureReport:
    """Collects the console and the failed requests of a page, and builds the report.

    ``explanation`` describes the step whose selectors matched nothing, if that was the failure.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.explanation: dict[str, Any] | None = None
        self._console: deque[str] = deque(maxlen=MAX_LINES)
        self._requests: deque[str] = deque(maxlen=MAX_LINES)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._console.append(redact(f"uncaught: {error}"[:MAX_LINE_CHARS])))
        page.on("requestfailed", self._on_request_failed)
        page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        self._console.append(redact(f"{message.type}: {message.text}"[:MAX_LINE_CHARS]))

    def _on_request_failed(self, request: Request) -> None:
        self._requests.append(
            f"{request.method} {redact_url(request.url[:MAX_LINE_CHARS])}: {request.failure}"[:MAX_LINE_CHARS]
        )

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            line = f"{response.request.method} {redact_url(response.url[:MAX_LINE_CHARS])}: {response.status}"
            self._requests.append(line[:MAX_LINE_CHARS])

    async def build(self) -> dict[str, Any]:
        """Return the report as JSON: url, screenshot, console, requests, dom, explanation.

        ``screenshot`` (a JPEG as a data: URL) and ``dom`` are null if the page does not answer. ``explanation`` has
        ``step``, the ``selectors`` tried, and as ``similar`` the most similar elements with matching selectors; it is
        null unless a selector matched nothing.
        """
        return {
            "url": redact_url(self._page.url),
            "screenshot": await self._screenshot(),
            "console": list(self._console),
            "requests": list(self._requests),
            "dom": await self._dom(),
            "explanation": self.explanation,
        }

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
                dom = (await self._page.content())[:MAX_DOM_CHARS]
                return await asyncio.to_thread(redact, dom)
        except (Error, TimeoutError):
            return None


def redact(text: str) -> str:
    """Replace everything in ``text`` that looks like a password, a cookie or a token."""
    for pattern, replacement in SECRET_PATTERNS:
        text = pattern.sub(replacement, text)
    return TOKEN_RUN.sub(_redact_token, text)


def _redact_token(run: re.Match[str]) -> str:
    before, start, token = run[0].partition(TOKEN_START)
    return before + REDACTED if start and token.count(".") >= 2 else run[0]


def redact_url(url: str) -> str:
    """Return a URL without user, password, fragment and secret parameters; of data: and blob: URLs only the scheme."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(invalid URL)"
    if parts.scheme in ("data", "blob"):
        return f"{parts.scheme}:…"
    host = parts.netloc.rpartition("@")[2]
    return redact(parts._replace(netloc=host, fragment="").geturl())
