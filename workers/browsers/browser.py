"""One running browser: how its contexts are made, who still uses it, and who is told when it dies."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext

from workers.browsers.egress_proxy import Proxy

VIEWPORT = {"width": 1280, "height": 900}


@dataclass(eq=False, slots=True)
class Living:
    """A running browser, what it has done and who still uses it."""

    browser: Browser
    mark: str
    agent: str
    born: float
    served: int = 0
    open: int = 0
    retired: str = ""
    broken: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def new_context(self, state: dict[str, Any] | None, proxy: Proxy | None) -> BrowserContext:
        """A context that begins with ``state`` and goes out by ``proxy``."""
        return await self.browser.new_context(
            user_agent=self.agent,
            viewport=VIEWPORT,  # type: ignore[arg-type] # a plain dict is a ViewportSize
            service_workers="block",
            storage_state=state,  # type: ignore[arg-type] # a plain dict is a StorageState
            proxy=proxy,  # type: ignore[arg-type] # a plain dict is a ProxySettings
        )

    @property
    def usable(self) -> bool:
        """Whether a job could have a context of it."""
        return not self.retired and not self.broken and self.browser.is_connected()


class DeathWatch:
    """Calls back once if a context's browser or one of its pages dies."""

    def __init__(self, browser: Browser, context: BrowserContext, lost: Callable[[], None]) -> None:
        self._browser = browser
        self._lost = lost
        browser.on("disconnected", self.tell)
        context.on("page", lambda page: page.on("crash", self.tell))

    def tell(self, _source: object = None) -> None:
        """It is lost."""
        self._lost()

    def end(self) -> None:
        """It may die: nobody is told any more."""
        self._lost = _nothing
        self._browser.remove_listener("disconnected", self.tell)


def _nothing() -> None:
    """Nobody is interested any more."""
