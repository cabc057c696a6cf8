"""The sources of browsers: a local program, or a remote endpoint (``BROWSER_ENDPOINT``)."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from playwright.async_api import Browser, Playwright

from ops.infra.browser_install import (
    BrowserNotFoundError,
    can_sandbox,
    find_browser,
    find_browser_with_windows,
)
from ops.infra.settings import Settings

CDP_PREFIX = "cdp+"
CAPACITY_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class LocalBrowser:
    """A browser program on this machine, launched for each browser.

    ``headed`` shows its window, and ``slow_ms`` delays every action so that a person can follow.
    """

    path: Path
    sandbox: bool
    headed: bool = False
    slow_ms: int = 0

    async def open(self, playwright: Playwright, marker: str) -> Browser:
        """Launch a browser with ``marker`` on its command line; raises Playwright's errors."""
        return await playwright.chromium.launch(
            executable_path=self.path,
            chromium_sandbox=self.sandbox,
            # WebRTC does not use the proxy: without this policy its UDP sockets would bypass the egress proxy.
            args=[marker, "--mute-audio", "--force-webrtc-ip-handling-policy=disable_non_proxied_udp"],
            headless=not self.headed,
            slow_mo=self.slow_ms,
            # The worker drains on signals; the browser must survive until the last job has ended.
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )

    def redact(self, text: str) -> str:
        """Return an error message of Playwright as it may be shown; local messages hold no secrets."""
        return text

    def __str__(self) -> str:
        """The path, for logs."""
        return str(self.path)


@dataclass(frozen=True, slots=True)
class RemoteBrowser:
    """A Playwright server (``ws://``) or a Chromium with remote debugging (``cdp+ws://``, ``cdp+http://``)."""

    endpoint: str = field(repr=False)

    async def open(self, playwright: Playwright, _marker: str) -> Browser:
        """Open a new connection; raises Playwright's errors."""
        if self.endpoint.startswith(CDP_PREFIX):
            return await playwright.chromium.connect_over_cdp(self.endpoint.removeprefix(CDP_PREFIX))
        return await playwright.chromium.connect(self.endpoint)

    def read_capacity(self) -> int | None:
        """Read how many contexts the endpoint allows at a time (browserless's ``/pressure``); None if it is unknown."""
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
        """Remove user, password, path and query of the endpoint from an error message; they may contain a token."""
        parts = urlsplit(self.endpoint)
        for secret in filter(None, (parts.query, parts.password, parts.username, parts.path.strip("/"))):
            text = text.replace(secret, "…")
        return text

    def __str__(self) -> str:
        """Scheme, host and port, for logs."""
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


BrowserSource = LocalBrowser | RemoteBrowser


def browser_source(settings: Settings) -> BrowserSource:
    """Return the configured endpoint, or else the local browser.

    Raises:
        BrowserNotFoundError: no endpoint is configured and no local browser is installed.
    """
    return RemoteBrowser(settings.browser_endpoint) if settings.browser_endpoint else local_browser(settings)


def local_browser(settings: Settings, *, headed: bool = False, slow_ms: int = 0) -> LocalBrowser:
    """Return the browser of this machine; raises BrowserNotFoundError if there is no suitable one."""
    browser = find_browser_with_windows(settings.browser) if headed else find_browser(settings.browser)
    if browser is None:
        raise BrowserNotFoundError("No browser found; run './darkroom doctor' for instructions.")
    return LocalBrowser(browser.path, can_sandbox(), headed, slow_ms)
