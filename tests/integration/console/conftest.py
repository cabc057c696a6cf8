"""The console in a real browser, on a whole Darkroom."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from api.http.session_cookie import COOKIE_NAME
from ops.testbed.stack import KEY, Stack, run_stack
from schemas.accounts.caller import OWNER
from stores.accounts.api_keys import compute_key_version
from tests.conftest import TIMEOUT_S
from tests.support.shared_browser import shared_browser

READY = "html[data-ready]"
PROBLEMS_LOGGED = ("error", "warning")


@dataclass
class Console:
    """A signed-in browser on a running Darkroom."""

    stack: Stack
    problems: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the server."""
        return self.stack.settings.public_url

    async def sign_in(self, page: Page, key: str = KEY) -> None:
        """Sign in by the form and wait for the section."""
        await page.goto(f"{self.url}/")
        await page.get_by_label("API key").fill(key)
        await page.keyboard.press("Enter")
        await page.wait_for_selector(READY, state="attached")

    def run(self, work: Callable[[Page], Awaitable[Any]], **options: Any) -> Any:
        """Run ``work`` with a page that is signed in; whatever its console reports is a failure."""
        self.problems.clear()

        async def with_page(browser: Browser) -> Any:
            context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
            # By the form only ten sign-ins a minute are possible.
            token = self.stack.stores.sessions.create_for_version(OWNER, compute_key_version(KEY))
            await context.add_cookies([{"name": COOKIE_NAME, "value": token, "url": self.url}])
            page = await self.open_page(context)
            await page.goto(f"{self.url}/")
            await page.wait_for_selector(READY, state="attached")
            return await work(page)

        result = shared_browser.run_with_browser(with_page, 3 * TIMEOUT_S)
        assert self.problems == []
        return result

    async def open_page(self, context: BrowserContext) -> Page:
        """Open a page whose errors and dialogs are collected."""
        page = await context.new_page()
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", lambda message: self._note(message.type, message.text))
        return page

    def _note(self, kind: str, text: str) -> None:
        # A request that fails while the server is gone is reported by the browser itself.
        if kind in PROBLEMS_LOGGED and "Failed to load resource" not in text:
            self.problems.append(f"{kind}: {text}")


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    """The console of a Darkroom with a worker."""
    with run_stack("web", "worker", "background", "clock", WORKER_CONCURRENCY="2") as stack:
        yield Console(stack)
