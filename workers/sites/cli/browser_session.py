"""The browser of the kit: one context for one site, by the rules of every worker, headless or to be seen."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from playwright.async_api import BrowserContext

from ops.infra.browser_install import NoBrowserError
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import Settings
from schemas.errors import NeedsHuman
from schemas.sites.recipe import Recipe
from stores.sites.credentials import Sessions, session_key
from workers.browsers.launchers import local_browser, source_of
from workers.browsers.pool import BrowserPool, BrowserRules


@dataclass(frozen=True, slots=True)
class Looks:
    """How the browser is shown: with a window or without, and how many milliseconds it waits after each act."""

    headed: bool = False
    slow_ms: int = 0


@asynccontextmanager
async def browsing(
    settings: Settings, recipe: Recipe, state: dict[str, Any] | None, looks: Looks
) -> AsyncIterator[BrowserContext]:
    """A context for the page of ``recipe`` that begins with ``state``, closed at the end.

    Raises:
        NoBrowserError: there is no browser, or no screen to show it on.
    """
    if looks.headed and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoBrowserError("There is no screen here to show a browser on; run this where there is one.")
    source = source_of(settings)
    if looks.headed or looks.slow_ms:
        source = replace(local_browser(settings), headed=looks.headed, slow_ms=looks.slow_ms)
    pool = BrowserPool(BrowserRules.of(settings, source, slots=1))
    try:
        await pool.start()
        async with pool.lease(_nobody, recipe.direct_hosts, state) as context:
            yield context
    finally:
        await pool.stop()


def _nobody() -> None:
    """Nobody is told that the browser died: whatever is asked of it next says so."""


def open_sessions(settings: Settings) -> Sessions:
    """The logins of this installation."""
    migrate(settings.database_url)
    key = session_key(settings.data_dir, settings.session_key)
    return Sessions(open_database(settings.database_url), SystemClock(), key)


def login_of(settings: Settings, recipe: Recipe) -> dict[str, Any] | None:
    """The login of a site, or None: whoever looks at a page may look at its login wall too."""
    try:
        return open_sessions(settings).state(recipe)
    except NeedsHuman:
        return None
