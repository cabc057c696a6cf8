"""Pages of the console in a real browser: signed in, watched for errors, checked with axe."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, ConsoleMessage, Page

from tests.conftest import API_KEY, TIMEOUT_S
from tests.support.shared_browser import shared_browser

HOSTILE = '<img src=x onerror="document.title=1"><script>document.title="owned"</script>"\'`{{7*7}}'


# Forms that are sent back with an error have its status, and a test may make the server refuse a request.
EXPECTED_STATUSES = (400, 503)


def visit(
    url: str,
    work: Callable[[Page], Awaitable[None]],
    key: str = API_KEY,
    expected: tuple[int, ...] = EXPECTED_STATUSES,
) -> None:
    """Sign in at the console and run ``work`` with a page; no page may report an error or run hostile text.

    ``expected`` are the statuses of error responses that are not faults of the page.
    """
    cookies = httpx.post(f"{url}/api/session", json={"key": key}, timeout=TIMEOUT_S, trust_env=False).cookies
    problems: list[str] = []

    async def with_page(context: BrowserContext) -> None:
        await context.add_cookies([{"name": name, "value": value, "url": url} for name, value in cookies.items()])
        page = await context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if _is_fault(message, expected) else None)
        await work(page)
        assert "owned" not in await page.title()

    shared_browser.run(with_page)
    assert not problems, problems


def _is_fault(message: ConsoleMessage, expected: tuple[int, ...]) -> bool:
    texts = [f"the server responded with a status of {status}" for status in expected]
    return message.type == "error" and not any(text in message.text for text in texts)


async def require_accessible(page: Page) -> None:
    """Fail with what axe finds on the page, or if the page is wider than a phone's window."""
    results: dict[str, Any] = (await Axe().run(page)).response
    found = [(each["id"], [node["target"] for node in each["nodes"]]) for each in results["violations"]]
    assert not found, found
    size = page.viewport_size
    await page.set_viewport_size({"width": 360, "height": 800})
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, f"{page.url} is {width} px wide"
    if size:
        await page.set_viewport_size(size)
