"""Where browsers come from: a program on this machine, or an endpoint elsewhere."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from playwright.async_api import Browser, Playwright

from ops.infra.browser_install import BrowserNotFoundError, can_sandbox, find_browser
from ops.infra.settings import Settings

CDP_PREFIX = "cdp+"
CAPACITY_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class LocalBrowser:
    """A program on this machine, started for each browser; ``headed`` and ``slow_ms`` are for those who watch it."""

    path: Path
    sandbox: bool
    headed: bool = False
    slow_ms: int = 0

    async def open(self, playwright: Playwright, marker: str) -> Browser:
        """A new browser with ``mark`` among its arguments; raises Playwright's errors."""
        return await playwright.chromium.launch(
            executable_path=self.path,
            chromium_sandbox=self.sandbox,
            # Sockets of WebRTC would go past the gate.
            args=[marker, "--mute-audio", "--force-webrtc-ip-handling-policy=disable_non_proxied_udp"],
            headless=not self.headed,
            slow_mo=self.slow_ms,
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )

    def redact(self, text: str) -> str:
        """What Playwright says, as it may be shown."""
        return text

    def __str__(self) -> str:
        """For the log."""
        return str(self.path)


@dataclass(frozen=True, slots=True)
class RemoteBrowser:
    """A Playwright server (``ws://``) or any Chromium with remote debugging (``cdp+ws://``, ``cdp+http://``)."""

    endpoint: str = field(repr=False)

    async def open(self, playwright: Playwright, _marker: str) -> Browser:
        """A new connection; raises Playwright's errors."""
        if self.endpoint.startswith(CDP_PREFIX):
            return await playwright.chromium.connect_over_cdp(self.endpoint.removeprefix(CDP_PREFIX))
        return await playwright.chromium.connect(self.endpoint)

    def read_capacity(self) -> int | None:
        """How many contexts the endpoint allows at once, where it tells (as browserless does under ``/pressure``)."""
        parts = urlsplit(self.endpoint.removeprefix(CDP_PREFIX))
        scheme = "https" if parts.scheme in ("wss", "https") else "http"
        query = f"?{parts.query}" if parts.query else ""
        try:
            response = httpx.get(f"{scheme}://{parts.netloc}/pressure{query}", timeout=CAPACITY_TIMEOUT_S)
            capacity = response.json()["pressure"]["maxConcurrent"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None
        return capacity if isinstance(capacity, int) and capacity > 0 else None

    def redact(self, text: str) -> str:
        """What Playwright says, without what of the endpoint nobody should see."""
        parts = urlsplit(self.endpoint)
        for secret in filter(None, (parts.query, parts.password, parts.username, parts.path.strip("/"))):
            text = text.replace(secret, "…")
        return text

    def __str__(self) -> str:
        """For the log: without user, password, path and query, which may hold a token."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


BrowserSource = LocalBrowser | RemoteBrowser


def browser_source(settings: Settings) -> BrowserSource:
    """Where the settings say that browsers come from.

    Raises:
        NoBrowserError: from here, and there is none.
    """
    return RemoteBrowser(settings.browser_endpoint) if settings.browser_endpoint else local_browser(settings)


def local_browser(settings: Settings) -> LocalBrowser:
    """The browser of this machine; raises NoBrowserError if there is none."""
    browser = find_browser(settings.browser)
    if browser is None:
        raise BrowserNotFoundError("No browser; './darkroom doctor' says what to do.")
    return LocalBrowser(browser.path, can_sandbox())
