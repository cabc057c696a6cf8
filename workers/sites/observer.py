"""Owns the channel from a page to its worker: puts the observer into the page and checks what the page tells.

Used by ``workers.sites.driver``. A page may call the binding itself, so every message is untrusted.
"""

import asyncio
import base64
import binascii
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page

from schemas.jobs import Progress
from schemas.sites import Observe

SCRIPT = (Path(__file__).parent / "observer.js").read_text()
BINDING = "__darkroomTell"
INTERVAL_MS = 250
CANVAS_POLL_MS = 500
PREVIEW_WIDTH = 400
BLOBS_KEPT = 16
MOST_TOLD = 256
LARGEST_MESSAGE = 2 * 1024 * 1024
LONGEST_TEXT = 500
PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that appeared on the page: ``kind`` is a key of ``observe``; one of the others belongs to it."""

    kind: str
    text: str = ""
    url: str = ""
    data: bytes = b""


class Observer:
    """The sightings of one page, from ``arm`` on."""

    def __init__(self, observe: Observe) -> None:
        """``observe`` says what to look at."""
        self._observe = observe
        self._told: asyncio.Queue[Sighting] = asyncio.Queue(MOST_TOLD)
        self._run = 0

    async def install(self, context: BrowserContext) -> None:
        """Put the observer into every page that the context opens from now on."""
        watched = {kind: watch for kind, watch in asdict(self._observe).items() if watch}
        config = {
            "observe": watched,
            "binding": BINDING,
            "intervalMs": INTERVAL_MS,
            "canvasPollMs": CANVAS_POLL_MS,
            "previewWidth": PREVIEW_WIDTH,
            "blobsKept": BLOBS_KEPT,
        }
        await context.expose_binding(BINDING, self._receive)
        await context.add_init_script(f"({_function()})({json.dumps(config)});")

    async def arm(self, page: Page) -> None:
        """Tell of changes from now on; what the page shows already is not news."""
        self._run += 1
        await page.evaluate("run => window.__darkroom.arm(run)", self._run)

    async def next(self) -> Sighting:
        """The next sighting, as soon as there is one."""
        return await self._told.get()

    def _receive(self, _source: Any, message: Any) -> None:
        sighting = _checked(message, self._run)
        if sighting is None:
            return
        if self._told.full():
            # A page that floods the channel loses its oldest news, not the worker its memory.
            self._told.get_nowait()
        self._told.put_nowait(sighting)


def progress(text: str, pattern: str | None) -> Progress | None:
    """How far a text such as ``12/20`` or ``45%`` says the page is."""
    found = re.search(pattern, text) if pattern else None
    if found and len(found.groups()) >= 2:
        step, steps = int(found[1]), int(found[2])
        return Progress(round(100 * min(step, steps) / steps, 1), step, steps) if steps > 0 else None
    percent = found if found and found.groups() else PERCENT.search(text)
    return Progress(min(100.0, float(percent[1]))) if percent else None


def _function() -> str:
    return SCRIPT[SCRIPT.index("(config) =>") :].rstrip().rstrip(";")


def _checked(message: Any, run: int) -> Sighting | None:
    if not isinstance(message, dict) or message.get("run") != run:
        return None
    kind, text, url, data = (message.get(name, "") for name in ("kind", "text", "url", "data"))
    if kind not in Observe.__dataclass_fields__ or not all(isinstance(part, str) for part in (text, url, data)):
        return None
    if len(url) + len(data) > LARGEST_MESSAGE:
        return None
    try:
        return Sighting(kind, text[:LONGEST_TEXT], url, base64.b64decode(data, validate=True))
    except binascii.Error:
        return None
