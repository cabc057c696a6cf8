"""One running browser: its contexts, its use, and the detection of crashes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext

from workers.browsers.egress_proxy import ProxySettings

VIEWPORT = {"width": 1280, "height": 900}


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """Options of a context: cookies and local storage to begin with, the proxy, and whether files are downloaded."""

    storage_state: dict[str, Any] | None = None
    proxy: ProxySettings | None = None
    accepts_downloads: bool = False


@dataclass(eq=False, slots=True)
class BrowserInstance:
    """A running browser and its usage counters.

    ``marker`` is on its command line; ``started_at_s`` is a time of the pool's clock. A retired instance keeps its
    open contexts and gets no new ones; ``idle`` is set when the last context closes.
    """

    browser: Browser
    marker: str
    user_agent: str
    started_at_s: float
    contexts_served: int = 0
    open_contexts: int = 0
    retirement_reason: str = ""
    is_broken: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def new_context(self, options: ContextOptions) -> BrowserContext:
        """Open a context."""
        return await self.browser.new_context(
            user_agent=self.user_agent,
            viewport=VIEWPORT,  # type: ignore[arg-type] # a plain dict is a ViewportSize
            # Responses that a service worker answers are invisible to Playwright.
            service_workers="block",
            storage_state=options.storage_state,  # type: ignore[arg-type] # a plain dict is a StorageState
            proxy=options.proxy,  # type: ignore[arg-type] # a plain dict is a ProxySettings
            accept_downloads=options.accepts_downloads,
        )

    @property
    def is_usable(self) -> bool:
        """Whether new contexts can be opened."""
        return not self.retirement_reason and not self.is_broken and self.browser.is_connected()


class CrashWatcher:
    """Calls ``on_lost`` when the context's browser disconnects or one of its pages crashes."""

    def __init__(self, browser: Browser, context: BrowserContext, on_lost: Callable[[], None]) -> None:
        self._browser = browser
        self._on_lost: Callable[[], None] | None = on_lost
        browser.on("disconnected", self.notify)
        context.on("page", lambda page: page.on("crash", self.notify))

    def notify(self, _source: object = None) -> None:
        """Report the loss, unless the watcher has stopped."""
        if self._on_lost:
            self._on_lost()

    def stop(self) -> None:
        """Report no further losses."""
        self._on_lost = None
        self._browser.remove_listener("disconnected", self.notify)
