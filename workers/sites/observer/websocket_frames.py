"""Reads progress, previews, errors and results from the messages that a page receives through its own WebSockets.

Which messages matter, and where their values are, is in the recipe (``observe.*.frames``).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page, WebSocket

from schemas.format_error import FormatError
from schemas.sites.observe import FramesSpec
from schemas.sites.templates import MISSING, get_path, render_url
from schemas.untrusted_json import JsonReader

JSON_READER = JsonReader()
MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_IMAGES = 64
PREVIEW_INTERVAL_S = 0.25
JSON_READER = JsonReader("The message")


@dataclass(frozen=True, slots=True)
class FrameData:
    """The content of a message: a text, the bytes of a preview, or the URLs of finished images."""

    text: str = ""
    data: bytes = b""
    urls: tuple[str, ...] = ()


class FrameListener:
    """Listens to the WebSockets of a page.

    ``frames_by_kind`` has the recipe's rules by kind of observation; ``site_url`` is the base of image URLs.
    """

    def __init__(
        self, frames_by_kind: Mapping[str, FramesSpec], site_url: str, on_data: Callable[[str, FrameData], None]
    ) -> None:
        self._frames_by_kind = frames_by_kind
        self._site_url = site_url
        self._on_data = on_data
        self._last_preview_at = 0.0

    def listen(self, page: Page) -> None:
        """Listen to all WebSockets that the page opens from now on."""
        if self._frames_by_kind:
            page.on("websocket", self._on_socket)

    def _on_socket(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._on_frame)

    def _on_frame(self, payload: str | bytes) -> None:
        if len(payload) > MAX_FRAME_BYTES:
            return
        if isinstance(payload, bytes):
            self._on_preview(payload)
            return
        try:
            message = JSON_READER.parse(payload)
        except FormatError:
            return
        for kind, frames in self._frames_by_kind.items():
            if frames.skip_bytes is None and _matches(message, frames.match):
                data = self._read(message, frames)
                if not frames.pictures or data.urls:
                    self._on_data(kind, data)

    def _on_preview(self, payload: bytes) -> None:
        # Rate-limited before any copy, because pages may send a preview for every step.
        for kind, frames in self._frames_by_kind.items():
            if frames.skip_bytes is not None and time.monotonic() - self._last_preview_at >= PREVIEW_INTERVAL_S:
                self._last_preview_at = time.monotonic()
                self._on_data(kind, FrameData(data=payload[frames.skip_bytes :]))

    def _read(self, message: Any, frames: FramesSpec) -> FrameData:
        if frames.pictures:
            value = get_path(message, frames.pictures)
            images = (
                [item for item in value[:MAX_IMAGES] if isinstance(item, Mapping)] if isinstance(value, list) else []
            )
            return FrameData(urls=tuple(render_url(frames.url, self._site_url, image) for image in images))
        if frames.step:
            return FrameData(text=f"{get_path(message, frames.step)}/{get_path(message, frames.steps)}")
        text = get_path(message, frames.text) if frames.text else ""
        return FrameData(text="" if text is MISSING else str(text))


def _matches(message: Any, match: Mapping[str, Any]) -> bool:
    return all(get_path(message, path) == expected for path, expected in match.items())
