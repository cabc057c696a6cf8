"""Reads progress, previews, errors and results from the messages that a page receives through its own connections.

These are WebSockets, long polling and event streams. Which messages matter, and where their values are, is in the
recipe (``observe.*.frames``).
"""

import base64
import binascii
import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.format_error import FormatError
from schemas.sites.documents import MISSING, find_values, get_path
from schemas.sites.observe import FramesSpec
from schemas.sites.templates import render_url
from schemas.untrusted_json import JsonReader

JSON_READER = JsonReader("The message")
MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_IMAGES = 64
PREVIEW_INTERVAL_S = 0.25
# The placeholder in a rule for the id that the program gave to the prompt.
ID_PLACEHOLDER = "{{id}}"
# Messages that arrive before the id is known.
MAX_EARLY_BYTES = 16 * 1024 * 1024
# Socket.IO puts the type of a packet, its namespace and an id before the JSON: 42/queue,17["progress",{...}].
SOCKET_IO_ENVELOPE = re.compile(r"\d{1,9}(?:\d{1,9}-)?(?:/[^,\[{]{0,200},)?\d{0,9}(?=[\[{])")
# The signatures of the image formats, wherever they begin: pages put headers of different lengths before a picture.
IMAGE_SIGNATURE = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF[\s\S]{4}WEBP|GIF8[79]a|[\s\S]{4}ftyp(?:avif|avis)")
MAX_HEADER_BYTES = 256 * 1024
# A rule with the kind of observation that it yields, and its number among the rules of that kind.
NumberedRule = tuple[str, int, FramesSpec]


@dataclass(frozen=True, slots=True)
class FrameData:
    """The content of a message: a text, the bytes of a preview, or the URLs of finished images.

    ``entry`` is the number of the rule that matched.
    """

    text: str = ""
    data: bytes = b""
    urls: tuple[str, ...] = ()
    entry: int = 0


class FrameReader:
    """Reads messages by the rules of a recipe; ``site_url`` is the base of image URLs."""

    def __init__(
        self,
        rules: Sequence[NumberedRule],
        site_url: str,
        on_data: Callable[[str, FrameData], None],
    ) -> None:
        self._rules = rules
        self._site_url = site_url
        self._on_data = on_data
        self._last_preview_at = 0.0
        self._needs_id = any(ID_PLACEHOLDER in rule.match.values() for _, _, rule in rules)
        self._id = ""
        self._early: list[str] = []
        self._early_bytes = 0

    def forget_early(self) -> None:
        """Forget the messages that came before the prompt was submitted."""
        self._early, self._early_bytes = [], 0

    def set_submission_id(self, value: str) -> None:
        """Read the messages that have waited for the id, and all later ones at once."""
        self._id, early = value, self._early
        self.forget_early()
        for payload in early:
            self._on_text(payload)

    def receive(self, payload: str | bytes) -> None:
        """Read one message."""
        if len(payload) > MAX_FRAME_BYTES:
            return
        if isinstance(payload, bytes):
            self._on_binary(payload)
        elif not self._needs_id or self._id:
            self._on_text(payload)
        elif self._early_bytes + len(payload) <= MAX_EARLY_BYTES:
            self._early.append(payload)
            self._early_bytes += len(payload)

    def read_missed(self, text: str) -> None:
        """Read JSON that was requested after a lost connection as the message ``{"missed": JSON}``."""
        with contextlib.suppress(FormatError):
            self._on_message({"missed": JSON_READER.parse(text)})

    def _on_text(self, payload: str) -> None:
        with contextlib.suppress(FormatError):
            self._on_message(JSON_READER.parse(strip_envelope(payload)))

    def _on_message(self, message: Any) -> None:
        # The first rule of a kind that matches counts.
        seen: set[str] = set()
        for kind, number, rule in self._rules:
            if kind not in seen and rule.skip_bytes is None and self._matches(message, rule.match):
                data = self._read(message, rule)
                if data is not None:
                    seen.add(kind)
                    self._on_data(kind, replace(data, entry=number))

    def _matches(self, message: Any, match: Mapping[str, Any]) -> bool:
        return all(
            any(_has_value(value, expected, self._id) for value in find_values(message, path))
            for path, expected in match.items()
        )

    def _on_binary(self, payload: bytes) -> None:
        for kind, number, rule in self._rules:
            if rule.skip_bytes is None:
                continue
            # Rate-limited before any copy, because pages may send a preview for every step; but only pictures count.
            start = find_image(payload, rule.skip_bytes)
            if start is not None and time.monotonic() - self._last_preview_at >= PREVIEW_INTERVAL_S:
                self._last_preview_at = time.monotonic()
                self._on_data(kind, FrameData(data=payload[start:], entry=number))
                return

    def _read(self, message: Any, rule: FramesSpec) -> FrameData | None:
        """Return the content of a message that matches; None if the message lacks it."""
        if rule.pictures:
            urls = self._read_urls([*find_values(message, rule.pictures)], rule)
            return FrameData(urls=urls) if urls else None
        if rule.picture:
            return self._read_picture(get_path(message, rule.picture))
        if rule.step:
            return FrameData(text=f"{get_path(message, rule.step)}/{get_path(message, rule.steps)}")
        if rule.fraction:
            value = get_path(message, rule.fraction)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return FrameData(text=f"{100 * value:.1f}%") if is_number else None
        text = get_path(message, rule.text) if rule.text else ""
        return FrameData(text="" if text is MISSING or text is None else str(text))

    def _read_urls(self, values: Sequence[Any], rule: FramesSpec) -> tuple[str, ...]:
        entries = [entry for value in values for entry in (value if isinstance(value, list) else [value])]
        images = [{"picture": entry} if isinstance(entry, str) else entry for entry in entries[:MAX_IMAGES]]
        return tuple(
            render_url(rule.url, self._site_url, image)
            for image in images
            if isinstance(image, Mapping) and all(image.get(key) == value for key, value in rule.where.items())
        )

    def _read_picture(self, value: Any) -> FrameData | None:
        if not isinstance(value, str) or not value:
            return None
        data = decode_data_url(value)
        return FrameData(data=data or b"", urls=(value,))


def strip_envelope(payload: str) -> str:
    """Return the JSON of a text message, without the envelope of Socket.IO if it has one."""
    match = SOCKET_IO_ENVELOPE.match(payload)
    return payload[match.end() :] if match else payload


def find_image(payload: bytes, skip_bytes: int = 0) -> int | None:
    """Return where an image begins in ``payload``; None if there is none behind ``skip_bytes``."""
    match = IMAGE_SIGNATURE.search(payload, skip_bytes, skip_bytes + MAX_HEADER_BYTES)
    return match.start() if match else None


def decode_data_url(url: str) -> bytes | None:
    """Return the bytes of a base64 ``data:`` URL; None if it is not one."""
    header, _, body = url.partition(",")
    if not (header.startswith("data:") and header.endswith(";base64")):
        return None
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        return None


def _has_value(value: Any, expected: Any, submission_id: str) -> bool:
    if expected == ID_PLACEHOLDER:
        return bool(submission_id) and str(value) == submission_id
    return value in expected if isinstance(expected, list) else bool(value == expected)
