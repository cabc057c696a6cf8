"""The reading of what a page hears through its own WebSockets: progress, previews, errors, finished pictures."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page, WebSocket

from schemas.sites.observe import FramesSpec
from schemas.sites.templates import MISSING, get_path, render_url

MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_IMAGES = 64
PREVIEW_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class FrameData:
    """What a message says: a text, a picture's bytes, or the addresses of finished pictures."""

    text: str = ""
    data: bytes = b""
    urls: tuple[str, ...] = ()


class FrameListener:
    """Listens to the sockets of a page."""

    def __init__(
        self, frames_by_kind: Mapping[str, FramesSpec], site_url: str, on_data: Callable[[str, FrameData], None]
    ) -> None:
        """``watched`` by what is told; ``url`` is the site's, for the addresses of pictures."""
        self._frames_by_kind = frames_by_kind
        self._site_url = site_url
        self._on_data = on_data
        self._last_preview_at = 0.0

    def listen(self, page: Page) -> None:
        """From now on."""
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
            message = json.loads(payload)
        except ValueError:
            return
        for kind, frames in self._frames_by_kind.items():
            if frames.skip_bytes is None and _matches(message, frames.match):
                heard = self._read(message, frames)
                if not frames.pictures or heard.urls:
                    self._on_data(kind, heard)

    def _on_preview(self, payload: bytes) -> None:
        for kind, frames in self._frames_by_kind.items():
            if frames.skip_bytes is not None and time.monotonic() - self._last_preview_at >= PREVIEW_INTERVAL_S:
                self._last_preview_at = time.monotonic()
                self._on_data(kind, FrameData(data=payload[frames.skip_bytes :]))

    def _read(self, message: Any, frames: FramesSpec) -> FrameData:
        if frames.pictures:
            found = get_path(message, frames.pictures)
            items = found[:MAX_IMAGES] if isinstance(found, list) else []
            return FrameData(urls=tuple(self._address(frames.url, item) for item in items if isinstance(item, Mapping)))
        if frames.step:
            return FrameData(text=f"{get_path(message, frames.step)}/{get_path(message, frames.steps)}")
        text = get_path(message, frames.text) if frames.text else ""
        return FrameData(text="" if text is MISSING else str(text))

    def _address(self, template: str, item: Mapping[str, Any]) -> str:
        return render_url(template, self._site_url, item)


def _matches(message: Any, match: Mapping[str, Any]) -> bool:
    return all(get_path(message, path) == wanted for path, wanted in match.items())
