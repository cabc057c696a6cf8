"""The connections through which a page receives messages: WebSockets, and the long polling of Socket.IO.

A Socket.IO page begins with long polling and moves to a WebSocket some time later, or never, behind a proxy that
refuses WebSockets. Each response to a poll has packets of Engine.IO, version 4:
https://socket.io/docs/v4/engine-io-protocol/
"""

import asyncio
import base64
import binascii
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Error, Page, Request, WebSocket

Message = str | bytes

PACKET_SEPARATOR = "\x1e"
BINARY_PACKET = "b"
# The first message on a WebSocket that a page tries beside its polls.
PROBE_ANSWER = "3probe"
# The last packet of an answer after which the page polls no more: the server has closed the session, or the page moves
# to a WebSocket.
CLOSE, NOOP = "1", "6"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
READ_TIMEOUT_S = 10.0
# What may wait for the body of an earlier poll.
MAX_WAITING = 256
MAX_WAITING_BYTES = 32 * 1024 * 1024


@dataclass(eq=False, slots=True)
class _Arrival:
    """The message of a WebSocket, or those of a poll; None while its body is read.

    ``is_polling`` says whether the page polls from then on; None if it goes on as before.
    """

    messages: list[Message] | None
    is_polling: bool | None = None
    size: int = 0


class MessageChannels:
    """Receives the messages of a page, in the order in which they arrive.

    ``receive`` is called with each message, ``on_disconnected`` when the last connection is lost.
    """

    def __init__(self, receive: Callable[[Message], None], on_disconnected: Callable[[], None]) -> None:
        self._receive = receive
        self._on_disconnected = on_disconnected
        self._open: set[WebSocket] = set()
        self._is_polling = False
        self._waiting: deque[_Arrival] = deque()
        self._waiting_bytes = 0
        self._reading: set[asyncio.Task[None]] = set()

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
        is_engine_socket = is_engine_url(socket.url, "websocket")
        # Once a page receives messages by such a socket, it polls no more.
        is_polling = False if is_engine_socket else None

        def on_frame(payload: Message) -> None:
            if not (is_engine_socket and payload == PROBE_ANSWER):
                self._add(_Arrival([payload], is_polling, len(payload)))

        self._open.add(socket)
        socket.on("framereceived", on_frame)
        socket.on("close", self._on_close)

    def _on_close(self, socket: WebSocket) -> None:
        self._open.discard(socket)
        self._report_loss()

    def _on_answer(self, request: Request) -> None:
        if is_poll(request.method, request.url):
            arrival = _Arrival(None)
            if self._add(arrival):
                task = asyncio.ensure_future(self._read_poll(request, arrival))
                self._reading.add(task)
                task.add_done_callback(self._reading.discard)

    def _on_failure(self, request: Request) -> None:
        if self._is_polling and is_poll(request.method, request.url):
            self._is_polling = False
            self._report_loss()

    def _report_loss(self) -> None:
        if not self.is_connected:
            self._on_disconnected()

    async def _read_poll(self, request: Request, arrival: _Arrival) -> None:
        """Read the packets of an answered poll; none if it was refused, or is too large."""
        packets: list[str] = []
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                response = await request.response()
                if response and response.ok and (await request.sizes())["responseBodySize"] <= MAX_MESSAGE_BYTES:
                    packets = (await response.body()).decode().split(PACKET_SEPARATOR)
        except (Error, TimeoutError, UnicodeDecodeError):
            packets = []
        finally:
            arrival.is_polling = bool(packets) and packets[-1] not in (CLOSE, NOOP)
            arrival.messages = [message for packet in packets if (message := read_packet(packet)) is not None]
            self._hand_on()

    def _add(self, arrival: _Arrival) -> bool:
        """Hand an arrival on, or keep it until earlier ones have been read; False if there are too many."""
        is_too_large = arrival.size > MAX_MESSAGE_BYTES or self._waiting_bytes + arrival.size > MAX_WAITING_BYTES
        if is_too_large or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(arrival)
        self._waiting_bytes += arrival.size
        self._hand_on()
        return True

    def _hand_on(self) -> None:
        """Hand on all that does not wait for the body of a poll any more."""
        while self._waiting and (messages := self._waiting[0].messages) is not None:
            arrival = self._waiting.popleft()
            self._waiting_bytes -= arrival.size
            was_connected = self.is_connected
            if arrival.is_polling is not None:
                self._is_polling = arrival.is_polling
            for message in messages:
                self._receive(message)
            if was_connected:
                self._report_loss()


def is_poll(method: str, url: str) -> bool:
    """Whether a request waits for messages of Engine.IO."""
    return method == "GET" and is_engine_url(url, "polling")


def is_engine_url(url: str, transport: str) -> bool:
    """Whether a URL belongs to a session of Engine.IO with this transport."""
    if f"transport={transport}" not in url:
        return False
    try:
        query = parse_qs(urlsplit(url).query)
    except ValueError:
        return False
    return query.get("transport") == [transport] and "EIO" in query


def read_packet(packet: str) -> Message | None:
    """Return the message of a packet, as a WebSocket would carry it; None for a binary one that cannot be read."""
    if not packet.startswith(BINARY_PACKET):
        return packet
    try:
        return base64.b64decode(packet.removeprefix(BINARY_PACKET), validate=True)
    except binascii.Error:
        return None
