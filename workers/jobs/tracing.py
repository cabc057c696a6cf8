"""Playwright traces of retried attempts, stored only if the attempt fails.

First attempts are not traced, because tracing slows a page down. Sites with credentials are never traced, because a
trace contains cookies.
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
    """Records the trace of one browser context; does nothing unless ``enabled``."""

    def __init__(self, context: BrowserContext, *, enabled: bool) -> None:
        self._context = context
        self._enabled = enabled

    async def start(self) -> None:
        """Start recording; raises BrowserLost if the browser is gone."""
        if not self._enabled:
            return
        with translate_playwright_errors():
            await self._context.tracing.start(snapshots=True, screenshots=True)

    async def stop(self) -> bytes | None:
        """Return the recording as a zip for ``playwright show-trace``; None if there is none or it is too large."""
        if not self._enabled:
            return None
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Error, TimeoutError):
            path = Path(folder) / "trace.zip"
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._context.tracing.stop(path=path)
            data = await asyncio.to_thread(path.read_bytes)
            return data if len(data) <= MAX_TRACE_BYTES else None
        return None
