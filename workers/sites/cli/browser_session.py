"""The browser of the kit: one context for one site, by the rules of every worker, headless or to be seen."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from playwright.async_api import BrowserContext

from ops.infra.browser_install import BrowserNotFoundError
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import Settings
from schemas.errors import NeedsHuman
from schemas.sites.recipe import Recipe
from stores.sites.credentials import SiteCredentials, load_encryption_key
from workers.browsers.launchers import browser_source, local_browser
from workers.browsers.pool import BrowserPool, BrowserPoolConfig


@dataclass(frozen=True, slots=True)
class DisplayOptions:
    """How the browser is shown: with a window or without, and how many milliseconds it waits after each act."""

    headed: bool = False
    slow_ms: int = 0


@asynccontextmanager
async def open_browser_context(
    settings: Settings, recipe: Recipe, storage_state: dict[str, Any] | None, display: DisplayOptions
) -> AsyncIterator[BrowserContext]:
    """A context for the page of ``recipe`` that begins with ``state``, closed at the end.

    Raises:
        NoBrowserError: there is no browser, or no screen to show it on.
    """
    if display.headed and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise BrowserNotFoundError("There is no screen here to show a browser on; run this where there is one.")
    source = browser_source(settings)
    if display.headed or display.slow_ms:
        source = replace(local_browser(settings), headed=display.headed, slow_ms=display.slow_ms)
    pool = BrowserPool(BrowserPoolConfig.from_settings(settings, source, slots=1))
    try:
        await pool.start()
        async with pool.lease(_nobody, recipe.direct_hosts, storage_state) as context:
            yield context
    finally:
        await pool.stop()


def _nobody() -> None:
    """Nobody is told that the browser died: whatever is asked of it next says so."""


def open_credentials(settings: Settings) -> SiteCredentials:
    """The logins of this installation."""
    migrate(settings.database_url)
    key = load_encryption_key(settings.data_dir, settings.session_key)
    return SiteCredentials(open_database(settings.database_url), SystemClock(), key)


def load_login(settings: Settings, recipe: Recipe) -> dict[str, Any] | None:
    """The login of a site, or None: whoever looks at a page may look at its login wall too."""
    try:
        return open_credentials(settings).load(recipe)
    except NeedsHuman:
        return None
