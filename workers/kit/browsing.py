"""Owns the browser of the kit: one context of a site's, in the foreground, headless or to be seen.

Used by the other modules of ``workers.kit``.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from playwright.async_api import BrowserContext, async_playwright

from ops.browser import NoBrowserError, find_browser
from ops.clock import SystemClock
from ops.database import migrate, open_database
from ops.settings import Settings
from schemas.errors import NeedsHuman
from schemas.sites import Recipe
from stores.sessions import Sessions, session_key
from workers.agent import agent_of
from workers.browsers import VIEWPORT
from workers.engine import user_agent


@dataclass(frozen=True, slots=True)
class Looks:
    """How the browser is shown: with a window or without, and how many milliseconds it waits after each act."""

    headed: bool = False
    slow_ms: int = 0


@asynccontextmanager
async def browsing(settings: Settings, state: dict[str, Any] | None, looks: Looks) -> AsyncIterator[BrowserContext]:
    """A context that begins with ``state``, closed at the end.

    Raises:
        NoBrowserError: there is no browser, or no screen to show it on.
    """
    browser = find_browser(settings.browser)
    if browser is None:
        raise NoBrowserError("No browser; './darkroom doctor' says what to do.")
    if looks.headed and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise NoBrowserError("There is no screen here to show a browser on; run this where there is one.")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=browser.path, headless=not looks.headed, slow_mo=looks.slow_ms
        )
        try:
            yield await launched.new_context(
                user_agent=f"{await user_agent(launched)} {agent_of(settings)}",
                viewport=VIEWPORT,  # type: ignore[arg-type] # a plain dict is a ViewportSize
                service_workers="block",
                storage_state=state,  # type: ignore[arg-type] # a plain dict is a StorageState
            )
        finally:
            await launched.close()


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
