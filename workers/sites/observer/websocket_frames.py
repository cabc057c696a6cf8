"""The reading of what a page hears through its own WebSockets: progress, previews, errors, finished pictures."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page, WebSocket

from schemas.sites.observe import Frames
from schemas.sites.templates import MISSING, at, fill_address

LARGEST_FRAME = 16 * 1024 * 1024
MOST_PICTURES = 64
PREVIEW_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message says: a text, a picture's bytes, or the addresses of finished pictures."""

    text: str = ""
    data: bytes = b""
    urls: tuple[str, ...] = ()


class SocketWatch:
    """Listens to the sockets of a page."""

    def __init__(self, watched: Mapping[str, Frames], url: str, tell: Callable[[str, Heard], None]) -> None:
        """``watched`` by what is told; ``url`` is the site's, for the addresses of pictures."""
        self._watched = watched
        self._url = url
        self._tell = tell
        self._told_at = 0.0

    def listen(self, page: Page) -> None:
        """From now on."""
        if self._watched:
            page.on("websocket", self._on_socket)

    def _on_socket(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._on_frame)

    def _on_frame(self, payload: str | bytes) -> None:
        if len(payload) > LARGEST_FRAME:
            return
        if isinstance(payload, bytes):
            self._on_picture(payload)
            return
        try:
            message = json.loads(payload)
        except ValueError:
            return
        for kind, frames in self._watched.items():
            if frames.skip_bytes is None and _fits(message, frames.match):
                heard = self._read(message, frames)
                if not frames.pictures or heard.urls:
                    self._tell(kind, heard)

    def _on_picture(self, payload: bytes) -> None:
        for kind, frames in self._watched.items():
            if frames.skip_bytes is not None and time.monotonic() - self._told_at >= PREVIEW_INTERVAL_S:
                self._told_at = time.monotonic()
                self._tell(kind, Heard(data=payload[frames.skip_bytes :]))

    def _read(self, message: Any, frames: Frames) -> Heard:
        if frames.pictures:
            found = at(message, frames.pictures)
            items = found[:MOST_PICTURES] if isinstance(found, list) else []
            return Heard(urls=tuple(self._address(frames.url, item) for item in items if isinstance(item, Mapping)))
        if frames.step:
            return Heard(text=f"{at(message, frames.step)}/{at(message, frames.steps)}")
        text = at(message, frames.text) if frames.text else ""
        return Heard(text="" if text is MISSING else str(text))

    def _address(self, template: str, item: Mapping[str, Any]) -> str:
        return fill_address(template, self._url, item)


def _fits(message: Any, match: Mapping[str, Any]) -> bool:
    return all(at(message, path) == wanted for path, wanted in match.items())
