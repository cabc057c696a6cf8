"""A WebSocket server on the connection of an HTTP request: handshake, whole messages to the client, close.

wsproto implements the protocol. The reason for a server of our own is the time limit on sends: a client that reads too
slowly is disconnected without cutting a message in two (docs/decisions/0013-websocket-server.md).
"""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import h11
import structlog
from flask import Response
from wsproto.connection import Connection, ConnectionType
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.handshake import H11Handshake
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from schemas.errors import Invalid

READ_BYTES = 4096
# Clients have nothing to send but pongs and a close frame.
MAX_READ_BYTES = 64 * 1024
SEND_TIMEOUT_S = 10.0
# For the handshake, and for the close frame after a timeout.
CONTROL_TIMEOUT_S = 5.0
CLOSE_NORMAL, CLOSE_POLICY_VIOLATION, CLOSE_TRY_AGAIN_LATER = 1000, 1008, 1013

log = structlog.get_logger(__name__)


class SlowConsumerError(Exception):
    """The client did not read a message within ``SEND_TIMEOUT_S``; the connection is closed."""


class ConnectionClosedError(Exception):
    """The client has disconnected."""


class WebSocket:
    """An upgraded connection. ``on_close`` is called on the reader thread when the client disconnects."""

    # A process may hold ten thousand of these.
    __slots__ = ("_lock", "_protocol", "_reader_thread", "_socket", "closed", "on_close")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        """Upgrade the connection of a WSGI request.

        Raises:
            Invalid: the request is not a valid handshake; nothing has been sent.
            ConnectionClosedError: the client has disconnected already.
        """
        self._socket: socket.socket = environ.get("gunicorn.socket") or environ["werkzeug.socket"]
        handshake = H11Handshake(ConnectionType.SERVER)
        self.on_close: Callable[[], None] = _do_nothing
        self._lock = threading.Lock()
        self.closed = False
        try:
            handshake.initiate_upgrade_connection(_handshake_headers(environ), environ.get("REQUEST_URI", "/"))
        except (RemoteProtocolError, h11.ProtocolError, ValueError) as error:
            raise Invalid(problems=[f"Not a WebSocket handshake: {error}."]) from error
        # A timeout of the socket would apply to reads and writes alike; each of the two polls with its own instead.
        self._socket.settimeout(0.0)
        accepted = handshake.send(AcceptConnection())
        self._protocol = cast(Connection, handshake.connection)
        if self._write(accepted, CONTROL_TIMEOUT_S):
            raise ConnectionClosedError
        self._reader_thread = threading.Thread(target=self._read_loop, name="websocket", daemon=True)
        self._reader_thread.start()

    def send_text(self, message: str) -> None:
        """Send a text message; raises SlowConsumerError or ConnectionClosedError."""
        self._send(TextMessage(message))

    def send_bytes(self, message: bytes) -> None:
        """Send a binary message; raises SlowConsumerError or ConnectionClosedError."""
        self._send(BytesMessage(message))

    def ping(self) -> None:
        """Send a ping; raises SlowConsumerError or ConnectionClosedError."""
        self._send(Ping())

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and disconnect; does nothing if the connection is closed."""
        with contextlib.suppress(SlowConsumerError, ConnectionClosedError):
            self._send(CloseConnection(code, reason))
        self._disconnect()

    def _send(self, event: Event) -> None:
        with self._lock:
            if self.closed:
                raise ConnectionClosedError
            try:
                data = self._protocol.send(event)
            except LocalProtocolError as error:
                raise ConnectionClosedError from error
            unsent = self._write(data, SEND_TIMEOUT_S)
            if unsent:
                log.info("socket.too_slow", unsent_bytes=len(unsent))
                # The close frame may only follow the whole message: inside a message it would be read as its data.
                self._write(
                    unsent + self._protocol.send(CloseConnection(CLOSE_TRY_AGAIN_LATER, "too slow")), CONTROL_TIMEOUT_S
                )
                self._disconnect()
                raise SlowConsumerError

    def _write(self, data: bytes, timeout_s: float) -> bytes:
        """Write to the socket and return what was not written within the timeout."""
        deadline = time.monotonic() + timeout_s
        while data:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return data
                self._poll(select.POLLOUT, left_s)
            except (OSError, ValueError) as error:
                self._disconnect()
                raise ConnectionClosedError from error
        return b""

    def _poll(self, event_mask: int, timeout_s: float | None = None) -> None:
        """Wait until the socket is ready. Not with ``select()``, which cannot watch descriptors above 1023."""
        polling = select.poll()
        try:
            polling.register(self._socket, event_mask)
            polling.poll(None if timeout_s is None else 1000 * timeout_s)
        except (OSError, ValueError) as error:
            self._disconnect()
            raise ConnectionClosedError from error

    def _read_loop(self) -> None:
        """Answer pings and close frames; ignore messages."""
        read_bytes = 0
        with contextlib.suppress(
            OSError, ValueError, RemoteProtocolError, LocalProtocolError, ConnectionClosedError, SlowConsumerError
        ):
            while not self.closed and read_bytes <= MAX_READ_BYTES:
                self._poll(select.POLLIN)
                data = self._socket.recv(READ_BYTES)
                read_bytes += len(data)
                for event in self._parse(data):
                    if isinstance(event, Ping | CloseConnection):
                        self._send(event.response())
                    if isinstance(event, CloseConnection):
                        raise ConnectionClosedError
            if read_bytes > MAX_READ_BYTES:
                self._send(CloseConnection(CLOSE_POLICY_VIOLATION, "too much data"))
        self._disconnect()

    def _parse(self, data: bytes) -> list[Event]:
        with self._lock:
            self._protocol.receive_data(data or None)
            return list(self._protocol.events())

    def _disconnect(self) -> None:
        if not self.closed:
            self.closed = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self.on_close()


class WebSocketResponse(Response):
    """The response of a view whose WebSocket has ended: it writes nothing to the connection."""

    def __call__(self, environ: Mapping[str, Any], *_: Any) -> Any:
        """Make the server drop the connection.

        gunicorn's async workers end a connection on StopIteration, and werkzeug's development server on
        ConnectionError, neither with a response or a line in the log.
        """
        raise StopIteration if "gunicorn.socket" in environ else ConnectionError


def _do_nothing() -> None:
    """Default of ``on_close``."""


def _handshake_headers(environ: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    return [
        (name[5:].replace("_", "-").lower().encode(), str(value).encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
