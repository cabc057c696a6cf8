"""The channel from a page to its worker: puts the observer into the page and checks what the page tells.

A page may call the binding itself, so every message is untrusted.
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
BINDING = "__darkroomTell"
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
    """Something that appeared on the page: ``kind`` is one of TOLD; one of the others belongs to it.

    ``data`` is a picture, small enough for a preview if the page itself has shrunk it; ``urls`` are the addresses of
    finished pictures, where the page's socket tells them; ``by`` is the selector that found it on the page.
    """

    kind: str
    text: str = ""
    url: str = ""
    data: bytes = b""
    urls: tuple[str, ...] = ()
    selector: str = ""


class Observer:
    """The sightings of one page, from ``arm`` on."""

    def __init__(self, observe: ObserveSpec, url: str) -> None:
        """``observe`` says what to look at; ``url`` is the site's."""
        self._observe = observe
        frames = {kind: watch.frames for kind, watch in _watches_by_kind(observe).items() if watch.frames}
        self._frame_listener = FrameListener(frames, url, self._on_frame)
        self._pending: asyncio.Queue[Observation] = asyncio.Queue(MAX_PENDING)
        self._run = 0

    async def install(self, context: BrowserContext) -> None:
        """Put the observer into every page that the context opens from now on."""
        watched = {kind: asdict(watch) for kind, watch in _watches_by_kind(self._observe).items() if watch.selectors}
        config = {
            "observe": watched,
            "binding": BINDING,
            "intervalMs": INTERVAL_MS,
            "canvasPollMs": CANVAS_POLL_MS,
            "canvasSettleMs": CANVAS_SETTLE_MS,
            "previewWidth": PREVIEW_WIDTH,
            "blobsKept": MAX_BLOBS,
            "largest": MAX_IMAGE_BYTES,
            "attributes": observed_attributes(self._observe),
        }
        await context.expose_binding(BINDING, self._on_message)
        await context.add_init_script(f"({SCRIPT})({json.dumps(config)});")

    def listen(self, page: Page) -> None:
        """Hear the page's own sockets; before it opens any."""
        self._frame_listener.listen(page)

    async def arm(self, page: Page) -> None:
        """Tell of changes from now on; what the page shows already is not news."""
        self._run += 1
        await page.evaluate("run => window.__darkroom.arm(run)", self._run)
        page.on("domcontentloaded", self._rejoin)

    async def _rejoin(self, page: Page) -> None:
        """The page went on to another one; what that shows belongs to the run."""
        with contextlib.suppress(Error):
            await page.evaluate("run => window.__darkroom.join(run)", self._run)

    async def next_observation(self) -> Observation:
        """The next sighting, as soon as there is one."""
        return await self._pending.get()

    def push(self, observation: Observation) -> None:
        """Let ``next`` know of something, if a run is under way."""
        if not self._run:
            return
        if self._pending.full():
            # A page that floods the channel loses its oldest news, not the worker its memory.
            self._pending.get_nowait()
        self._pending.put_nowait(observation)

    def _on_frame(self, kind: str, frame_data: FrameData) -> None:
        self.push(Observation(kind, frame_data.text[:MAX_TEXT_CHARS], data=frame_data.data, urls=frame_data.urls))

    def _on_message(self, _source: Any, message: Any) -> None:
        if sighting := _parse_message(message, self._run):
            self.push(sighting)


def parse_progress(text: str, pattern: str | None) -> Progress | None:
    """How far a text such as ``12/20`` or ``45%`` says the page is."""
    try:
        return _progress_from_match(text, re.search(pattern, text) if pattern else STEPS.search(text))
    except (TypeError, ValueError):
        return None


def _progress_from_match(text: str, found: "re.Match[str] | None") -> Progress | None:
    if found and len(found.groups()) >= 2:
        step, steps = int(found[1]), int(found[2])
        return Progress(round(100 * min(step, steps) / steps, 1), step, steps) if steps > 0 else None
    percent = found if found and found.groups() else PERCENT.search(text)
    return Progress(min(100.0, float(percent[1]))) if percent else None


def observed_attributes(observe: ObserveSpec) -> list[str]:
    """The attributes whose changes may mean something: those that pages mostly change, and those of the selectors."""
    chains = [chain for watch in _watches_by_kind(observe).values() for chain in watch.selectors]
    named = {name for chain in chains for selector in chain for name in SELECTOR_ATTRIBUTE.findall(selector)}
    return sorted({*DEFAULT_ATTRIBUTES, *named})


def _watches_by_kind(observe: ObserveSpec) -> dict[str, WatchSpec]:
    watches = {kind: getattr(observe, kind) for kind in (*sorted(OBSERVATION_KINDS), "busy")}
    return {kind: watch for kind, watch in watches.items() if watch}


def _parse_message(message: Any, run: int) -> Observation | None:
    if not isinstance(message, dict) or message.get("run") != run:
        return None
    kind, text, url, data, by = (message.get(name, "") for name in ("kind", "text", "url", "data", "by"))
    if kind not in OBSERVATION_KINDS or not all(isinstance(part, str) for part in (text, url, data, by)):
        return None
    if len(url) + len(data) + len(by) > MAX_MESSAGE_CHARS:
        return None
    try:
        return Observation(kind, text[:MAX_TEXT_CHARS], url, base64.b64decode(data, validate=True), selector=by)
    except binascii.Error:
        return None
