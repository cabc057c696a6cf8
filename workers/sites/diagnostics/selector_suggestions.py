"""The explanation of a page that has changed: what is on it now that looks most like what was looked for."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Error, Page

from workers.sites.diagnostics.failure_report import redact
from workers.sites.observer.page_scripts import load_function

SCRIPT = load_function(Path(__file__).with_name("selector_suggestions.js"))
MAX_SUGGESTIONS = 3
MAX_TEXT_CHARS = 300
TIMEOUT_S = 3.0


async def find_similar_elements(page: Page, selectors: Sequence[str]) -> list[dict[str, Any]]:
    """The elements most like ``selectors``, best first: ``selector`` that would match it, ``html``, ``text``."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            found: list[dict[str, Any]] = await page.evaluate(f"({SCRIPT})", [list(selectors), MAX_SUGGESTIONS])
    except (Error, TimeoutError):
        return []
    return [{key: redact(str(value)[:MAX_TEXT_CHARS]) for key, value in one.items()} for one in found[:MAX_SUGGESTIONS]]
