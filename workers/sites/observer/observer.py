"""Installs the observer script in a page and receives its messages.

The page can call the binding itself, so every message is untrusted: its shape and size are checked, and a full queue
drops its oldest entries.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Error, Page

from schemas.jobs.job import Progress
from schemas.sites.observe import ObserveSpec, WatchSpec
from workers.images.convert import MAX_IMAGE_BYTES
from workers.sites.observer.page_scripts import load_function
from workers.sites.observer.websocket_frames import FrameData, FrameListener

SCRIPT = load_function(Path(__file__).with_name("observer.js"))
BINDING = "__darkroomReport"
INTERVAL_MS = 250
CANVAS_POLL_MS = 500
CANVAS_SETTLE_MS = 1000
PREVIEW_WIDTH = 400
MAX_BLOBS = 16
MAX_PENDING = 256
MAX_MESSAGE_CHARS = 2 * 1024 * 1024
MAX_TEXT_CHARS = 500
OBSERVATION_KINDS = frozenset({"done", "preview", "progress", "error", "human"})
DEFAULT_ATTRIBUTES = (
    *("src", "srcset", "poster", "style", "class", "id", "hidden", "open", "value", "disabled"),
    *("alt", "title", "aria-label", "aria-valuenow", "aria-hidden", "aria-busy"),
)
SELECTOR_ATTRIBUTE = re.compile(r"(?:\[\s*|@)([a-zA-Z][\w-]*)")
STEPS = re.compile(r"(\d+)\s*/\s*(\d+)")
PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True)
class Observation:
    """A change on the page. ``kind`` is one of OBSERVATION_KINDS, or ``busy`` or ``closed`` from the driver.

    ``text`` belongs to progress, errors and requests for a person; ``url`` or ``data`` to images, where ``data`` is a
    preview that the page may have shrunk already; ``urls`` to results announced through a WebSocket. ``selector`` is
    the alternative that matched on the page.
    """

    kind: str
    text: str = ""
    url: str = ""
    data: bytes = b""
    urls: tuple[str, ...] = ()
    selector: str = ""


class Observer:
    """The observations of one page, from ``arm`` on; ``url`` is the site's, for relative image URLs."""

    def __init__(self, observe: ObserveSpec, url: str) -> None:
        self._observe = observe
        frames = {kind: watch.frames for kind, watch in _watches_by_kind(observe).items() if watch.frames}
        self._frame_listener = FrameListener(frames, url, self._on_frame)
        self._pending: asyncio.Queue[Observation] = asyncio.Queue(MAX_PENDING)
        self._run = 0

    async def install(self, context: BrowserContext) -> None:
        """Install the script in all pages that the context opens from now on."""
        watches = {kind: asdict(watch) for kind, watch in _watches_by_kind(self._observe).items() if watch.selectors}
        config = {
            "observe": watches,
            "binding": BINDING,
            "intervalMs": INTERVAL_MS,
            "canvasPollMs": CANVAS_POLL_MS,
            "canvasSettleMs": CANVAS_SETTLE_MS,
            "previewWidth": PREVIEW_WIDTH,
            "maxBlobs": MAX_BLOBS,
            "maxImageBytes": MAX_IMAGE_BYTES,
            "attributes": observed_attributes(self._observe),
        }
        await context.expose_binding(BINDING, self._on_message)
        await context.add_init_script(f"({SCRIPT})({json.dumps(config)});")

    def listen(self, page: Page) -> None:
        """Listen to the page's WebSockets; must be called before the page opens any."""
        self._frame_listener.listen(page)

    async def arm(self, page: Page) -> None:
        """Begin to report changes; what the page shows already is the baseline."""
        # Messages carry the number of their run, so late ones of an earlier run can be dropped.
        self._run += 1
        await page.evaluate("run => window.__darkroom.arm(run)", self._run)
        page.on("domcontentloaded", self._rejoin)

    async def _rejoin(self, page: Page) -> None:
        """Continue after a navigation: what the new page shows belongs to the current run."""
        with contextlib.suppress(Error):
            await page.evaluate("run => window.__darkroom.join(run)", self._run)

    async def next_observation(self) -> Observation:
        """Wait for the next observation."""
        return await self._pending.get()

    def push(self, observation: Observation) -> None:
        """Queue an observation, if the observer is armed."""
        if not self._run:
            return
        if self._pending.full():
            # Bounds the memory that a page can use by flooding the channel.
            self._pending.get_nowait()
        self._pending.put_nowait(observation)

    def _on_frame(self, kind: str, frame_data: FrameData) -> None:
        self.push(Observation(kind, frame_data.text[:MAX_TEXT_CHARS], data=frame_data.data, urls=frame_data.urls))

    def _on_message(self, _source: Any, message: Any) -> None:
        if observation := _parse_message(message, self._run):
            self.push(observation)


def parse_progress(text: str, pattern: str | None) -> Progress | None:
    """Read progress from a text such as ``12/20`` or ``45%``; None if there is none.

    A ``pattern`` with two groups captures step and steps; with one group, a percentage.
    """
    try:
        match = re.search(pattern, text) if pattern else STEPS.search(text)
        if match and len(match.groups()) >= 2:
            step, steps = int(match[1]), int(match[2])
            return Progress(round(100 * min(step, steps) / steps, 1), step, steps) if steps > 0 else None
        percent = match if match and match.groups() else PERCENT.search(text)
        return Progress(min(100.0, float(percent[1]))) if percent else None
    except (TypeError, ValueError):
        return None


def observed_attributes(observe: ObserveSpec) -> list[str]:
    """Return the attributes whose mutations are observed: common ones, and those that occur in the selectors."""
    chains = [chain for watch in _watches_by_kind(observe).values() for chain in watch.selectors]
    in_selectors = {name for chain in chains for selector in chain for name in SELECTOR_ATTRIBUTE.findall(selector)}
    return sorted({*DEFAULT_ATTRIBUTES, *in_selectors})


def _watches_by_kind(observe: ObserveSpec) -> dict[str, WatchSpec]:
    watches = {kind: getattr(observe, kind) for kind in (*sorted(OBSERVATION_KINDS), "busy")}
    return {kind: watch for kind, watch in watches.items() if watch}


def _parse_message(message: Any, run: int) -> Observation | None:
    if not isinstance(message, dict) or message.get("run") != run:
        return None
    kind, text, url, data, selector = (message.get(name, "") for name in ("kind", "text", "url", "data", "selector"))
    if not all(isinstance(value, str) for value in (kind, text, url, data, selector)) or kind not in OBSERVATION_KINDS:
        return None
    if len(url) + len(data) + len(selector) > MAX_MESSAGE_CHARS:
        return None
    try:
        return Observation(kind, text[:MAX_TEXT_CHARS], url, base64.b64decode(data, validate=True), selector=selector)
    except binascii.Error:
        return None
