"""The connections through which a page receives messages: WebSockets, and the long polling of Socket.IO.

A Socket.IO page begins with long polling and moves to a WebSocket some time later, or never, behind a proxy that
refuses WebSockets. Each response to a poll has packets of Engine.IO, version 4:
https://socket.io/docs/v4/engine-io-protocol/
"""

import asyncio
import base64
import binascii
import contextlib
from collections import deque
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Error, Page, Request, WebSocket

Message = str | bytes

PACKET_SEPARATOR = "\x1e"
BINARY_PACKET = "b"
# The first message on a WebSocket that a page tries beside its polls.
PROBE_ANSWER = "3probe"
# Ends the last poll of a page that moves to a WebSocket.
NOOP = "6"
MAX_BODY_BYTES = 16 * 1024 * 1024
READ_TIMEOUT_S = 10.0
# Messages and polls that wait for the body of an earlier poll.
MAX_WAITING = 256


class MessageChannels:
    """Receives the messages of a page, in the order in which they arrive.

    ``receive`` is called with each message, ``on_disconnected`` when the last connection is lost.
    """

    def __init__(self, receive: Callable[[Message], None], on_disconnected: Callable[[], None]) -> None:
        self._receive = receive
        self._on_disconnected = on_disconnected
        self._open: set[WebSocket] = set()
        self._is_polling = False
        # The bodies of polls are read while later messages arrive.
        self._waiting: deque[Message | asyncio.Task[list[str]]] = deque()

    @property
    def is_connected(self) -> bool:
        """Whether a WebSocket is open, or the last poll has been answered."""
        return bool(self._open) or self._is_polling

    def listen(self, page: Page) -> None:
        """Listen to all connections that the page opens from now on."""
        page.on("websocket", self._on_socket)
        page.on("requestfinished", self._on_answer)
        page.on("requestfailed", self._on_failure)

    def _on_socket(self, socket: WebSocket) -> None:
        self._open.add(socket)
        socket.on("framereceived", self._on_frame)
        socket.on("close", self._on_close)

    def _on_frame(self, payload: Message) -> None:
        if payload != PROBE_ANSWER:
            self._is_polling = False
            self._add(payload)

    def _on_close(self, socket: WebSocket) -> None:
        self._open.discard(socket)
        self._report_loss()

    def _on_answer(self, request: Request) -> None:
        if is_poll(request.method, request.url):
            self._add(asyncio.ensure_future(self._read_poll(request)))

    def _on_failure(self, request: Request) -> None:
        if is_poll(request.method, request.url):
            self._is_polling = False
            self._report_loss()

    def _report_loss(self) -> None:
        if not self.is_connected:
            self._on_disconnected()

    async def _read_poll(self, request: Request) -> list[str]:
        """Return the packets of an answered poll; none if it was refused, or is too large."""
        with contextlib.suppress(Error, TimeoutError, UnicodeDecodeError):
            async with asyncio.timeout(READ_TIMEOUT_S):
                response = await request.response()
                if response and response.ok and (await request.sizes())["responseBodySize"] <= MAX_BODY_BYTES:
                    return (await response.body()).decode().split(PACKET_SEPARATOR)
        return []

    def _add(self, entry: Message | asyncio.Task[list[str]]) -> None:
        if isinstance(entry, asyncio.Task):
            self._waiting.append(entry)
            entry.add_done_callback(self._hand_on)
        elif not self._waiting:
            self._receive(entry)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(entry)

    def _hand_on(self, _task: asyncio.Task[list[str]]) -> None:
        """Hand on all that does not wait for the body of a poll any more."""
        while self._waiting:
            entry = self._waiting[0]
            if isinstance(entry, asyncio.Task) and not entry.done():
                return
            self._waiting.popleft()
            if not isinstance(entry, asyncio.Task):
                self._receive(entry)
            elif not entry.cancelled():
                self._receive_packets(entry.result())

    def _receive_packets(self, packets: list[str]) -> None:
        was_polling, self._is_polling = self._is_polling, bool(packets) and packets[-1] != NOOP
        for packet in packets:
            message = read_packet(packet)
            if message is not None:
                self._receive(message)
        if was_polling and not packets:
            self._report_loss()


def is_poll(method: str, url: str) -> bool:
    """Whether a request waits for messages of Engine.IO."""
    if method != "GET" or "transport=polling" not in url:
        return False
    try:
        query = parse_qs(urlsplit(url).query)
    except ValueError:
        return False
    return query.get("transport") == ["polling"] and "EIO" in query


def read_packet(packet: str) -> Message | None:
    """Return the message of a packet, as a WebSocket would carry it; None for a binary one that cannot be read."""
    if not packet.startswith(BINARY_PACKET):
        return packet
    try:
        return base64.b64decode(packet.removeprefix(BINARY_PACKET), validate=True)
    except binascii.Error:
        return None
