"""The browser of the site commands: one context for one site, under the rules of a worker, optionally visible."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from playwright.async_api import BrowserContext

from ops.infra.browser_install import BrowserNotFoundError
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import Settings
from schemas.errors import NeedsHuman
from schemas.sites.recipe import Recipe
from stores.environment.shared_settings import check_shared_settings
from stores.sites.credentials import SiteCredentials, load_encryption_key
from workers.browsers.launchers import browser_source, local_browser
from workers.browsers.pool import BrowserPool, BrowserPoolConfig


@dataclass(frozen=True, slots=True)
class DisplayOptions:
    """Whether the browser has a window, and by how many milliseconds each of its actions is delayed."""

    headed: bool = False
    slow_ms: int = 0


@asynccontextmanager
async def open_browser_context(
    settings: Settings, recipe: Recipe, storage_state: dict[str, Any] | None, display: DisplayOptions
) -> AsyncIterator[BrowserContext]:
    """Start a browser and open a context for the page of ``recipe``; both are closed at the end.

    Raises:
        BrowserNotFoundError: there is no browser, or no display to show it on.
    """
    if display.headed and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise BrowserNotFoundError(
            "There is no screen to show a browser on (DISPLAY is not set); run this command on a desktop."
        )
    source = browser_source(settings)
    if display.headed or display.slow_ms:
        source = local_browser(settings, headed=display.headed, slow_ms=display.slow_ms)
    pool = BrowserPool(BrowserPoolConfig.from_settings(settings, source, slots=1))
    try:
        await pool.start()
        # A lost browser needs no callback here: the next call to it fails.
        async with pool.lease(
            lambda: None, recipe.direct_hosts, storage_state, accepts_downloads=recipe.accepts_downloads
        ) as context:
            yield context
    finally:
        await pool.stop()


def open_credentials(settings: Settings) -> SiteCredentials:
    """Open the credential store of this installation."""
    migrate(settings.database_url)
    check_shared_settings(settings)
    key = load_encryption_key(settings.data_dir, settings.session_key)
    return SiteCredentials(open_database(settings.database_url), SystemClock(), key)


def load_login(settings: Settings, recipe: Recipe) -> dict[str, Any] | None:
    """Return the storage state of a site; None without credentials, because the login page can be checked too."""
    try:
        return open_credentials(settings).load(recipe)
    except NeedsHuman:
        return None
