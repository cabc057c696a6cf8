"""Limits the resources of the browser and of this process that one page may use, so that it blocks no other page.

All pages of a worker share one browser, one connection to it and one event loop. A script in the page drops what is
too much at its source. What reaches this process is counted:
a page that sends more than ``MAX_MESSAGES`` at once, or ``MESSAGES_PER_S`` for long, or opens too many windows, ends
its attempt.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page, WebSocket

from schemas.errors import PageFloods, ServiceError
from workers.sites.observer.page_scripts import load_function

SCRIPT = load_function(Path(__file__).with_name("page_limits.js"))
SCRIPT_LIMITS = {
    "messages": {"burst": 300, "perSecond": 30},
    "bindings": {"burst": 500, "perSecond": 50},
    "dialogs": {"burst": 10, "perSecond": 0.5},
    "windows": {"burst": 10, "perSecond": 0.1},
    "workers": {"burst": 64, "perSecond": 5},
    "sockets": {"burst": 64, "perSecond": 10},
    "requests": {"burst": 1000, "perSecond": 100},
    "waitingRequests": 2000,
}
# Loading a page of many parts takes several hundred messages; a program that works sends some dozen a second.
MAX_MESSAGES = 3000
MESSAGES_PER_S = 100
MAX_WINDOWS = 20


class MessageBudget:
    """A token bucket of ``burst`` messages that refills by ``per_s`` a second; ``monotonic`` is in seconds."""

    def __init__(self, burst: int, per_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._per_s = per_s
        self._monotonic = monotonic
        self._tokens = float(burst)
        self._filled_at = monotonic()

    def take(self) -> bool:
        """Count one message; False if there are too many."""
        if self._tokens < 1:
            now = self._monotonic()
            self._tokens = min(self._burst, (now - self._filled_at) * self._per_s)
            self._filled_at = now
            if self._tokens < 1:
                return False
        self._tokens -= 1
        return True


class PageLimits:
    """Counts the messages and windows of a context's page; ``on_exceeded`` is called once, with the error."""

    def __init__(self, on_exceeded: Callable[[ServiceError], None]) -> None:
        self._on_exceeded = on_exceeded
        self._budget = MessageBudget(MAX_MESSAGES, MESSAGES_PER_S)
        self._windows = 0
        self.is_exceeded = False

    async def install(self, context: BrowserContext) -> None:
        """Install the script in all frames that the context opens from now on."""
        context.on("page", self._on_window)
        await context.add_init_script(f"({SCRIPT})({json.dumps(SCRIPT_LIMITS)});")

    def listen(self, page: Page) -> None:
        """Count the requests, WebSockets and frames of a page from now on."""
        page.on("request", self.count)
        page.on("websocket", self._on_socket)

    def count(self, _message: Any = None) -> None:
        """Count one message of the page."""
        if not self._budget.take():
            self._exceed(f"The page sends more than {MESSAGES_PER_S} messages a second.")

    def _on_socket(self, socket: WebSocket) -> None:
        self.count()
        socket.on("framereceived", self.count)
        socket.on("framesent", self.count)

    def _on_window(self, _page: Page) -> None:
        self._windows += 1
        if self._windows > MAX_WINDOWS:
            self._exceed(f"The page opens more than {MAX_WINDOWS} windows.")

    def _exceed(self, reason: str) -> None:
        if not self.is_exceeded:
            self.is_exceeded = True
            self._on_exceeded(PageFloods(reason))
