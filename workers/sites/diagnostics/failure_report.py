"""What is kept of a failed attempt: a screenshot, the address, the console, failed requests and the DOM, redacted."""

import asyncio
import base64
import re
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import ConsoleMessage, Error, Page, Request, Response

LINES_KEPT = 50
LONGEST_LINE = 500
LARGEST_DOM = 256 * 1024
STEP_TIMEOUT_S = 3.0
HIDDEN = "[redacted]"
GUARDED = (
    r"(?:api[-_]?key|access[-_]?token|auth|authorization|bearer|cookie|csrf|jwt|passw(?:or)?d|secret|session|sid|token)"
)
GUARDED_TAG = rf"""(?:{GUARDED}|type=["']?(?:hidden|password))"""
QUOTED = r"""("[^"]*"|'[^']*'|[^\s>]+)"""
SECRETS = (
    # name=value and "name": "value", wherever they stand
    (re.compile(rf"""(?i)({GUARDED}[\w-]{{0,40}}["']?\s{{0,4}}[:=]\s{{0,4}}["']?)([^"'\s&;,<>]+)"""), rf"\1{HIDDEN}"),
    # <input type=hidden|password value=…>, <meta name="csrf…" content=…>
    (
        re.compile(rf"(?i)(<(?:input|meta)\b[^<>]{{0,400}}{GUARDED_TAG}[^<>]{{0,400}}?\b(?:value|content)=){QUOTED}"),
        rf'\1"{HIDDEN}"',
    ),
    # JSON web tokens
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),
)


class Evidence:
    """Listens to a page so that a failure can be explained; ``explanation`` is about a step that found nothing."""

    def __init__(self, page: Page) -> None:
        """Listens from now on."""
        self._page = page
        self.explanation: dict[str, Any] | None = None
        self._console: deque[str] = deque(maxlen=LINES_KEPT)
        self._requests: deque[str] = deque(maxlen=LINES_KEPT)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._console.append(redact(f"uncaught: {error}"[:LONGEST_LINE])))
        page.on("requestfailed", self._on_failed)
        page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        self._console.append(redact(f"{message.type}: {message.text}"[:LONGEST_LINE]))

    def _on_failed(self, request: Request) -> None:
        self._requests.append(
            f"{request.method} {without_secrets(request.url[:LONGEST_LINE])}: {request.failure}"[:LONGEST_LINE]
        )

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            line = f"{response.request.method} {without_secrets(response.url[:LONGEST_LINE])}: {response.status}"
            self._requests.append(line[:LONGEST_LINE])

    async def bundle(self) -> dict[str, Any]:
        """JSON: ``url``, ``screenshot`` (a JPEG as a data: address, or null), ``console``, ``requests``, ``dom``.

        Where a step found nothing, ``explanation`` has ``step``, the ``selectors`` tried, and as ``similar`` the
        elements most like them, each with a ``selector`` that would match it.
        """
        return {
            "url": without_secrets(self._page.url),
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
                dom = (await self._page.content())[:LARGEST_DOM]
                return await asyncio.to_thread(redact, dom)
        except (Error, TimeoutError):
            return None


def redact(text: str) -> str:
    """``text`` without what looks like a password, a cookie or a token."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def without_secrets(url: str) -> str:
    """A URL without user, password, fragment and secret parameters."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(no address)"
    if parts.scheme in ("data", "blob"):
        return f"{parts.scheme}:…"
    host = parts.netloc.rpartition("@")[2]
    return redact(parts._replace(netloc=host, fragment="").geturl())
