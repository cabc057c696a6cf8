"""Suggests replacements for selectors that no longer match: the elements on the page most similar to them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Error, Page

from workers.sites.diagnostics.redaction import redact
from workers.sites.observer.page_scripts import load_function

SCRIPT = load_function(Path(__file__).with_name("selector_suggestions.js"))
MAX_SUGGESTIONS = 3
MAX_TEXT_CHARS = 300
TIMEOUT_S = 3.0


async def find_similar_elements(page: Page, selectors: Sequence[str]) -> list[dict[str, Any]]:
    """Return the elements most similar to ``selectors``, best first; empty if the page does not answer.

    Each has a ``selector`` that matches it, its ``html`` and its ``text``, all redacted and truncated, and as ``box``
    its left, top, width and height in the window, separated by spaces.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            elements: list[dict[str, Any]] = await page.evaluate(f"({SCRIPT})", [list(selectors), MAX_SUGGESTIONS])
    except (Error, TimeoutError):
        return []
    return [
        {key: redact(str(value)[:MAX_TEXT_CHARS]) for key, value in element.items()}
        for element in elements[:MAX_SUGGESTIONS]
    ]
