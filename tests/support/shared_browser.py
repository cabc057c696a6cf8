"""A real browser that all tests of a process share; each attempt gets a new context.

Starting a browser takes about as long as a short attempt in it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from playwright.async_api import Browser, BrowserContext, Playwright, StorageState, async_playwright, expect

from ops.infra.browser_install import find_browser
from tests.conftest import TIMEOUT_S

T = TypeVar("T")
# Playwright's own are 5 and 30 s.
TIMEOUT_MS = 1000 * TIMEOUT_S
expect.set_options(timeout=TIMEOUT_MS)
# Leads to this machine, but browsers treat it as any other host: over plain HTTP it is not trustworthy.
REMOTE_HOST = "lab.test"


class SharedBrowser:
    """A browser with its own event loop, which runs only while a test uses it; started by the first test."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._playwright: Playwright
        self._browser: Browser

    def run(
        self,
        work: Callable[[BrowserContext], Awaitable[T]],
        state: StorageState | None = None,
        timeout_s: float = 2 * TIMEOUT_S,
    ) -> T:
        """Run ``work`` with a new context and a timeout."""

        async def in_context(browser: Browser) -> T:
            context = await browser.new_context(storage_state=state, viewport={"width": 1280, "height": 900})
            context.set_default_timeout(TIMEOUT_MS)
            return await work(context)

        return self.run_with_browser(in_context, timeout_s)

    def run_with_browser(self, work: Callable[[Browser], Awaitable[T]], timeout_s: float) -> T:
        """Run ``work`` with the browser and a timeout; contexts that it has left open are closed."""

        async def bounded() -> T:
            if not self._browser.is_connected():
                await self._launch()
            try:
                async with asyncio.timeout(timeout_s):
                    return await work(self._browser)
            finally:
                for context in self._browser.contexts:
                    await context.close()

        if self._runner is None:
            self._runner = asyncio.Runner()
            self._runner.run(self._start())
        return self._runner.run(bounded())

    async def _start(self) -> None:
        self._playwright = await async_playwright().start()
        await self._launch()

    async def _launch(self) -> None:
        found = find_browser(os.environ.get("BROWSER"))
        assert found
        options = [f"--host-resolver-rules=MAP {REMOTE_HOST} 127.0.0.1"]
        self._browser = await self._playwright.chromium.launch(executable_path=found.path, args=options)

    def stop(self) -> None:
        """Stop the browser if it was started."""

        async def close() -> None:
            await self._browser.close()
            await self._playwright.stop()

        if self._runner:
            self._runner.run(close())
            self._runner.close()
            self._runner = None


shared_browser = SharedBrowser()
