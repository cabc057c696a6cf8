"""One running browser: how its contexts are made, who still uses it, and who is told when it dies."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext

from workers.browsers.egress_proxy import ProxySettings

VIEWPORT = {"width": 1280, "height": 900}


@dataclass(eq=False, slots=True)
class BrowserInstance:
    """A running browser, what it has done and who still uses it."""

    browser: Browser
    marker: str
    user_agent: str
    started_at_s: float
    contexts_served: int = 0
    open_contexts: int = 0
    retirement_reason: str = ""
    is_broken: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def new_context(self, storage_state: dict[str, Any] | None, proxy: ProxySettings | None) -> BrowserContext:
        """A context that begins with ``state`` and goes out by ``proxy``."""
        return await self.browser.new_context(
            user_agent=self.user_agent,
            viewport=VIEWPORT,  # type: ignore[arg-type] # a plain dict is a ViewportSize
            service_workers="block",
            storage_state=storage_state,  # type: ignore[arg-type] # a plain dict is a StorageState
            proxy=proxy,  # type: ignore[arg-type] # a plain dict is a ProxySettings
        )

    @property
    def is_usable(self) -> bool:
        """Whether a job could have a context of it."""
        return not self.retirement_reason and not self.is_broken and self.browser.is_connected()


class CrashWatcher:
    """Calls back once if a context's browser or one of its pages dies."""

    def __init__(self, browser: Browser, context: BrowserContext, on_lost: Callable[[], None]) -> None:
        self._browser = browser
        self._on_lost = on_lost
        browser.on("disconnected", self.notify)
        context.on("page", lambda page: page.on("crash", self.notify))

    def notify(self, _source: object = None) -> None:
        """It is lost."""
        self._on_lost()

    def stop(self) -> None:
        """It may die: nobody is told any more."""
        self._on_lost = _nothing
        self._browser.remove_listener("disconnected", self.notify)


def _nothing() -> None:
    """Nobody is interested any more."""
