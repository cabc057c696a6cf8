"""A browser that has signed in to the console, and what its tab costs, for the benchmark ``console``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from ops.infra.browser_install import find_browser
from ops.testbed.stack import KEY, Stack
from schemas.accounts.caller import OWNER
from stores.accounts.api_keys import compute_key_version

COOKIE = "darkroom_session"
READY = "html[data-ready]"
# Records when the page says that it is ready, in milliseconds after the navigation began.
RECORD_READY = """addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => { window.readyAt ??= performance.now(); })
    .observe(document.documentElement, { attributes: true, attributeFilter: ["data-ready"] });
});"""


@dataclass(frozen=True, slots=True)
class FirstView:
    """The first view of a page: bytes over the wire, requests, and milliseconds until it can be used."""

    bytes: int
    requests: int
    ready_ms: float


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a browser without a window."""
    found = find_browser(os.environ.get("BROWSER"))
    if found is None:
        raise RuntimeError("no browser was found; ./darkroom doctor says how to get one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.path)
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Browser, stack: Stack, **options: Any) -> Page:
    """Open an empty page in a new context that has signed in as the owner."""
    context = browser.new_context(**options)
    token = stack.stores.sessions.create_for_version(OWNER, compute_key_version(KEY))
    context.add_cookies([{"name": COOKIE, "value": token, "url": stack.settings.public_url}])
    return context.new_page()


def measure_first_view(page: Page, url: str, *, ready: str = READY) -> FirstView:
    """Open ``url`` with an empty cache; measure the time until ``ready`` matches, and the bytes loaded by then."""
    sizes: list[float] = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.add_init_script(RECORD_READY)
    page.goto(url)
    page.wait_for_selector(ready, state="attached")
    ready_ms = float(page.evaluate("window.readyAt ?? performance.now()"))
    # Resources that the page is still loading belong to its first view.
    page.wait_for_timeout(1000)
    return FirstView(round(sum(sizes)), len(sizes), ready_ms)


def measure_tab(page: Page, seconds: float) -> float:
    """Return how much of a core the tab uses, in percent, over so many seconds."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def busy_s() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))

    before = busy_s()
    page.wait_for_timeout(1000 * seconds)
    return 100 * (busy_s() - before) / seconds
