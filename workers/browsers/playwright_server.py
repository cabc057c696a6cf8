"""The Playwright driver process (Node.js) that controls all browsers of a worker.

Playwright does not report the death of this process: browsers still appear connected, and pending calls never return.
The process is therefore polled once a second and restarted when it is gone.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import psutil
import structlog
from playwright.async_api import Browser, Error, Playwright, async_playwright

from schemas.errors import BrowserLost
from workers.browsers.launchers import BrowserSource
from workers.browsers.os_processes import cmdline, kill_browser

LAUNCH_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0
PAGE_CHECK_TIMEOUT_S = 1.0
POLL_INTERVAL_S = 1.0
MAX_LAUNCH_FAILURES = 3
DRIVER_GONE = "Connection closed while reading from the driver"
DRIVER_ARG = "run-driver"

log = structlog.get_logger(__name__)


class PlaywrightServer:
    """One driver process at a time; ``problem`` says why the last launch of a browser failed.

    ``on_died`` is called when the process has died, and with it all browsers.
    """

    def __init__(self, source: BrowserSource, on_died: Callable[[], None]) -> None:
        self._source = source
        self._on_died = on_died
        self.problem = ""
        self._playwright: Playwright | None = None
        self._process: psutil.Process | None = None
        self.start_count = 0
        self._launch_failures = 0

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        if self._process is None:
            return False
        try:
            # A killed child exists as a zombie until it is reaped.
            return self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    async def start(self) -> None:
        """Start a new process in place of the previous one, which must have ended.

        Raises:
            BrowserLost: Playwright does not start.
        """
        self.start_count += 1
        self._launch_failures = 0
        asyncio.get_running_loop().set_exception_handler(_handle_loop_error)
        # Cancelling the start makes Playwright hang. On a timeout the process is killed instead, which ends the task.
        starting = asyncio.create_task(async_playwright().start())
        await asyncio.wait({starting}, timeout=LAUNCH_TIMEOUT_S)
        self._process = _find_driver_process()
        if not starting.done():
            self.kill()
            await asyncio.wait({starting}, timeout=CLOSE_TIMEOUT_S)
        if not starting.done() or starting.exception():
            self._process = None
            raise BrowserLost("Playwright does not start.")
        self._playwright = starting.result()

    def kill(self) -> None:
        """Kill the process, because it does not answer; ``watch_forever`` notices it."""
        with contextlib.suppress(psutil.Error):
            if self._process:
                self._process.kill()

    async def stop(self) -> None:
        """Stop the process and all its browsers."""
        playwright, self._playwright, self._process = self._playwright, None, None
        if playwright:
            with contextlib.suppress(TimeoutError, Error):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await playwright.stop()

    async def watch_forever(self) -> None:
        """Poll the process and call ``on_died`` once for each death."""
        reported_start = self.start_count - 1
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            if not self.is_alive and reported_start != self.start_count:
                reported_start = self.start_count
                log.warning("playwright.lost")
                self._on_died()

    async def launch(self, marker: str) -> Browser:
        """Start a browser with ``marker`` on its command line; restart the driver process first if it is dead.

        After ``MAX_LAUNCH_FAILURES`` failures in a row the driver process is killed, so that the next call starts
        with a new one.

        Raises:
            BrowserLost: the browser or the driver process does not start.
        """
        if not self.is_alive:
            self._on_died()
            await self.stop()
            await self.start()
        try:
            browser = await self._launch(marker)
        except BrowserLost:
            self._launch_failures += 1
            if self._launch_failures >= MAX_LAUNCH_FAILURES:
                log.warning("playwright.killed", launch_failures=self._launch_failures)
                self.kill()
            raise
        self._launch_failures = 0
        return browser

    async def _launch(self, marker: str) -> Browser:
        if self._playwright is None:
            raise BrowserLost
        try:
            async with asyncio.timeout(LAUNCH_TIMEOUT_S):
                browser = await self._source.open(self._playwright, marker)
        except (Error, TimeoutError) as error:
            # On a timeout the browser may have started after all.
            await asyncio.to_thread(kill_browser, marker)
            reason = self._source.redact(str(error).partition("\n")[0]) or "no answer"
            self.problem = f"No browser from {self._source}: {reason}"
            raise BrowserLost(self.problem) from error
        self.problem = ""
        return browser


def _handle_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report an error as asyncio does, except that the driver has gone: ``watch_forever`` reports that.

    A stop signal may reach the driver together with this process, and Playwright retrieves this error nowhere.
    """
    if DRIVER_GONE not in str(context.get("exception")):
        loop.default_exception_handler(context)


def _find_driver_process() -> psutil.Process | None:
    """Return the newest driver among the children: an older one may not have exited yet."""
    drivers = [process for process in psutil.Process().children() if DRIVER_ARG in cmdline(process)]
    return max(drivers, key=lambda process: process.create_time(), default=None)


async def close_browser(browser: Browser) -> bool:
    """Close a browser; return False on a timeout."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await browser.close()
    except TimeoutError:
        return False
    except Error:
        # It has closed already.
        return True
    return True


async def read_user_agent(browser: Browser) -> str:
    """Return the browser's own user agent, without opening a page: that would take as long as the browser's start."""
    session = await browser.new_browser_cdp_session()
    version = await session.send("Browser.getVersion")
    await session.detach()
    return str(version["userAgent"])


async def ping_browser(browser: Browser) -> None:
    """Wait for an answer of the browser; raises Playwright's errors."""
    session = await browser.new_browser_cdp_session()
    await session.send("Browser.getVersion")
    await session.detach()


async def can_open_page(browser: Browser) -> bool:
    """Whether an empty page opens within ``PAGE_CHECK_TIMEOUT_S`` and closes again."""
    try:
        async with asyncio.timeout(PAGE_CHECK_TIMEOUT_S):
            page = await browser.new_page()
            await page.goto("about:blank")
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await page.context.close()
    except (Error, TimeoutError):
        return False
    return True
