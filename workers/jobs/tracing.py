"""The trace of a further attempt: what Playwright recorded of it, kept only if it fails too.

A first attempt is not traced, for that costs time; nor is one with a login, for a trace
holds cookies.
"""

import asyncio
import contextlib
import tempfile
from pathlib import Path

from playwright.async_api import BrowserContext, Error

from workers.sites.driver.playwright_errors import translate_playwright_errors

STOP_TIMEOUT_S = 5.0
MAX_TRACE_BYTES = 8 * 1024 * 1024


class TraceRecorder:
    """The trace of one context, if it is wanted."""

    def __init__(self, context: BrowserContext, *, enabled: bool) -> None:
        """Nothing is recorded yet."""
        self._context = context
        self._enabled = enabled

    async def start(self) -> None:
        """Record from now on; raises BrowserLost if there is no page any more."""
        if not self._enabled:
            return
        with translate_playwright_errors():
            await self._context.tracing.start(snapshots=True, screenshots=True)

    async def stop(self) -> bytes | None:
        """What was recorded, a zip for ``playwright show-trace``; None if nothing was, or it is too large."""
        if not self._enabled:
            return None
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Error, TimeoutError):
            path = Path(folder) / "trace.zip"
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._context.tracing.stop(path=path)
            data = await asyncio.to_thread(path.read_bytes)
            return data if len(data) <= MAX_TRACE_BYTES else None
        return None
