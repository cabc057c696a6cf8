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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Error, Page

from schemas.jobs.job import Progress
from schemas.sites.observe import FramesSpec, ObserveSpec, Selectors, WatchSpec
from schemas.sites.page_patterns import compile_pattern
from workers.images.convert import MAX_IMAGE_BYTES
from workers.sites.observer.frames import FrameData, FrameReader
from workers.sites.observer.message_channels import MessageChannels
from workers.sites.observer.page_scripts import load_function

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
MAX_ERROR_ENTRIES = 64
# A message of an event stream, which is handled as a frame of a WebSocket.
EVENT_KIND = "event"
MAX_EVENT_CHARS = 64 * 1024
MAX_ERROR_CHARS = 2000
MAX_KNOWN_URLS = 256
# The elements that the recipe watches, and the reports of the script in the page.
WATCH_KINDS = ("busy", "done", "human", "preview", "progress", "started", "until")
OBSERVATION_KINDS = frozenset({"done", "empty", "still", "preview", "progress", "started", "error", "human"})
DEFAULT_ATTRIBUTES = (
    *("src", "srcset", "poster", "style", "class", "id", "hidden", "open", "value", "disabled"),
    *("alt", "title", "aria-label", "aria-valuenow", "aria-hidden", "aria-busy"),
)
SELECTOR_ATTRIBUTE = re.compile(r"(?:\[\s*|@)([a-zA-Z][\w-]*)")
# Not the place in a queue ("queue: 1/1"), and not seconds ("1.2/5.3s").
QUEUE = re.compile(r"(?i)\bqueue\b[^\d\n]{0,20}\d+\s{0,4}/\s{0,4}\d+")
STEPS = re.compile(r"(?<![\d.])(\d{1,9})\s{0,4}/\s{0,4}(\d{1,9})(?![\d.]|\s?s\b)")
PERCENT = re.compile(r"(?<![\d.])(\d{1,9}(?:\.\d{1,9})?)\s{0,4}%")


@dataclass(frozen=True, slots=True)
class Observation:
    """A change on the page.

    ``kind`` is one of OBSERVATION_KINDS, ``until`` or ``disconnected`` from the page's connections, or ``busy`` or
    ``closed`` from the driver. ``text`` belongs to progress, errors and requests for a person; ``url`` or ``data`` to
    images, where ``data`` is a preview that the page may have shrunk already; ``urls`` to results announced through a
    WebSocket. ``selector`` is the alternative that matched on the page. ``entry`` is the number of the recipe's entry
    in ``observe.error``, or of the alternative of ``frames``.
    """

    kind: str
    text: str = ""
    url: str = ""
    data: bytes = b""
    urls: tuple[str, ...] = ()
    selector: str = ""
    entry: int = 0


class Observer:
    """The observations of one page, from ``arm`` on; ``url`` is the site's, for relative image URLs."""

    def __init__(self, observe: ObserveSpec, url: str, results: Selectors = ()) -> None:
        """``results`` are the elements with the finished pictures, if they are not those of ``observe.done``."""
        self._observe = observe
        self._results = results
        self._frame_reader = FrameReader(_frames_by_kind(observe), url, self._on_frame)
        self._channels = MessageChannels(self._frame_reader.receive, self._on_disconnected)
        self._pending: asyncio.Queue[Observation] = asyncio.Queue(MAX_PENDING)
        self._run = 0

    async def install(self, context: BrowserContext, on_message: Callable[[], None] = lambda: None) -> None:
        """Install the script in all pages that the context opens from now on.

        ``on_message`` is called for each message of a page, also for those that are not observations.
        """
        watches: dict[str, Any] = {
            kind: asdict(watch) for kind, watch in _watches_by_kind(self._observe).items() if watch.selectors
        }
        watches["error"] = [asdict(error) for error in self._observe.error]
        config = {
            "observe": watches,
            "results": {"selectors": self._results, "source": self._observe.done.source} if self._results else None,
            "hasFrames": bool(_frames_by_kind(self._observe)),
            "hasUntil": self._observe.until is not None,
            "binding": BINDING,
            "intervalMs": INTERVAL_MS,
            "canvasPollMs": CANVAS_POLL_MS,
            "canvasSettleMs": CANVAS_SETTLE_MS,
            "previewWidth": PREVIEW_WIDTH,
            "maxBlobs": MAX_BLOBS,
            "maxImageBytes": MAX_IMAGE_BYTES,
            "attributes": observed_attributes(self._observe),
        }

        def receive(_source: Any, message: Any) -> None:
            on_message()
            self._on_message(message)

        await context.expose_binding(BINDING, receive)
        await context.add_init_script(f"({SCRIPT})({json.dumps(config)});")

    def listen(self, page: Page) -> None:
        """Listen to the page's connections; must be called before the page opens any."""
        if _frames_by_kind(self._observe):
            self._channels.listen(page)

    async def arm(self, page: Page) -> list[str]:
        """Begin to report changes; the current state of the page is the baseline.

        Returns the URLs of the page's pictures. The page's answer is untrusted.
        """
        # Messages carry the number of their run, so late ones of an earlier run can be dropped.
        self._run += 1
        self._frame_reader.forget_early()
        urls = await page.evaluate("run => window.__darkroom.arm(run)", self._run)
        page.on("domcontentloaded", self._rejoin)
        return [url for url in urls[:MAX_KNOWN_URLS] if isinstance(url, str)] if isinstance(urls, list) else []

    async def _rejoin(self, page: Page) -> None:
        """Continue after a navigation: the new page belongs to the current run."""
        with contextlib.suppress(Error):
            await page.evaluate("run => window.__darkroom.join(run)", self._run)

    def set_submission_id(self, value: str) -> None:
        """Take the id that the program gave to the prompt; messages that name it are read from now on."""
        self._frame_reader.set_submission_id(value)

    def read_missed(self, text: str) -> None:
        """Read the answer to a request for missed messages."""
        self._frame_reader.read_missed(text)

    @property
    def is_connected(self) -> bool:
        """Whether the page has a connection through which it receives messages."""
        return self._channels.is_connected

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
        text = frame_data.text[:MAX_ERROR_CHARS]
        self.push(Observation(kind, text, data=frame_data.data, urls=frame_data.urls, entry=frame_data.entry))

    def _on_disconnected(self) -> None:
        self.push(Observation("disconnected"))

    def _on_message(self, message: Any) -> None:
        if isinstance(message, dict) and (message.get("run"), message.get("kind")) == (self._run, EVENT_KIND):
            text = message.get("text")
            if isinstance(text, str) and len(text) <= MAX_EVENT_CHARS:
                self._frame_reader.receive(text)
        elif observation := _parse_message(message, self._run):
            self.push(observation)


def parse_progress(text: str, pattern: str | None) -> Progress | None:
    """Read progress from a text such as ``12/20`` or ``45%``; None if there is none.

    A ``pattern`` with two groups captures step and steps; with one group, a percentage.
    """
    try:
        match = compile_pattern(pattern).search(text) if pattern else STEPS.search(QUEUE.sub("", text))
        if match and len(match.groups()) >= 2:
            step, steps = int(match[1]), int(match[2])
            return Progress(round(100 * min(step, steps) / steps, 1), step, steps) if steps > 0 else None
        percent = match if match and match.groups() else PERCENT.search(text)
        return Progress(min(100.0, float(percent[1]))) if percent else None
    except (TypeError, ValueError):
        return None


def observed_attributes(observe: ObserveSpec) -> list[str]:
    """Return the attributes whose mutations are observed: common ones, and those that occur in the selectors."""
    watches = (*_watches_by_kind(observe).values(), *observe.error)
    chains = [chain for watch in watches for chain in watch.selectors]
    in_selectors = {name for chain in chains for selector in chain for name in SELECTOR_ATTRIBUTE.findall(selector)}
    return sorted({*DEFAULT_ATTRIBUTES, *in_selectors})


def _watches_by_kind(observe: ObserveSpec) -> dict[str, WatchSpec]:
    watches = {kind: getattr(observe, kind) for kind in WATCH_KINDS}
    return {kind: watch for kind, watch in watches.items() if watch}


def _frames_by_kind(observe: ObserveSpec) -> list[tuple[str, int, FramesSpec]]:
    """Return kind, number of the entry, and rule; errors are numbered by their entry in ``observe.error``."""
    frames = [
        (kind, number, rule)
        for kind, watch in _watches_by_kind(observe).items()
        for number, rule in enumerate(watch.frames)
    ]
    return frames + [("error", number, rule) for number, error in enumerate(observe.error) for rule in error.frames]


def _parse_message(message: Any, run: int) -> Observation | None:
    if not isinstance(message, dict) or message.get("run") != run:
        return None
    kind, text, url, data, selector = (message.get(name, "") for name in ("kind", "text", "url", "data", "selector"))
    if not all(isinstance(value, str) for value in (kind, text, url, data, selector)) or kind not in OBSERVATION_KINDS:
        return None
    entry = message.get("entry", 0)
    if not isinstance(entry, int) or not 0 <= entry < MAX_ERROR_ENTRIES:
        return None
    if len(url) + len(data) + len(selector) > MAX_MESSAGE_CHARS:
        return None
    text = text[: MAX_ERROR_CHARS if kind == "error" else MAX_TEXT_CHARS]
    try:
        image = base64.b64decode(data, validate=True)
    except binascii.Error:
        return None
    return Observation(kind, text, url, image, selector=selector, entry=entry)
