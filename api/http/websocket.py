"""One WebSocket on the connection of a request: the handshake, whole messages out, and the end.

The protocol is wsproto's; what no library does is to give up on a reader that is too slow
without cutting a message in two.
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
# Nobody has anything to say to us: who says much is not listened to.
MAX_READ_BYTES = 64 * 1024
SEND_TIMEOUT_S = 10.0
CONTROL_TIMEOUT_S = 5.0
CLOSE_NORMAL, CLOSE_POLICY_VIOLATION, CLOSE_TRY_AGAIN_LATER = 1000, 1008, 1013

log = structlog.get_logger(__name__)


class SlowConsumerError(Exception):
    """The client has not taken what was sent for too long; it has been told so, if it listens at all."""


class ConnectionClosedError(Exception):
    """The client is no longer there."""


class WebSocket:
    """A connection that has been upgraded. ``on_close`` is called, from another thread, when the client goes."""

    # A process may have ten thousand.
    __slots__ = ("_lock", "_protocol", "_reader_thread", "_socket", "closed", "on_close")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        """``environ`` is the request's.

        Raises:
            Invalid: it is no handshake; nothing has been sent.
            GoneError: the client has gone already.
        """
        self._socket: socket.socket = environ.get("gunicorn.socket") or environ["werkzeug.socket"]
        handshake = H11Handshake(ConnectionType.SERVER)
        self.on_close: Callable[[], None] = _do_nothing
        self._lock = threading.Lock()
        self.closed = False
        try:
            handshake.initiate_upgrade_connection(_handshake_headers(environ), environ.get("REQUEST_URI", "/"))
        except (RemoteProtocolError, h11.ProtocolError, ValueError) as error:
            raise Invalid(problems=[f"This is no handshake of a WebSocket: {error}."]) from error
        # Each side waits for itself, so that neither takes the other's patience.
        self._socket.settimeout(0.0)
        accepted = handshake.send(AcceptConnection())
        self._protocol = cast(Connection, handshake.connection)
        if self._write(accepted, CONTROL_TIMEOUT_S):
            raise ConnectionClosedError
        self._reader_thread = threading.Thread(target=self._read_loop, name="websocket", daemon=True)
        self._reader_thread.start()

    def send_text(self, message: str) -> None:
        """Send words; raises SlowReaderError or GoneError."""
        self._send(TextMessage(message))

    def send_bytes(self, message: bytes) -> None:
        """Send bytes; raises SlowReaderError or GoneError."""
        self._send(BytesMessage(message))

    def ping(self) -> None:
        """See whether the client is there; raises SlowReaderError or GoneError."""
        self._send(Ping())

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, and drop the connection."""
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
            left = self._write(data, SEND_TIMEOUT_S)
            if left:
                log.info("socket.too_slow", unsent_bytes=len(left))
                # The rest of the message first, for what is cut in two cannot be understood.
                self._write(
                    left + self._protocol.send(CloseConnection(CLOSE_TRY_AGAIN_LATER, "too slow")), CONTROL_TIMEOUT_S
                )
                self._disconnect()
                raise SlowConsumerError

    def _write(self, data: bytes, timeout_s: float) -> bytes:
        """What could not be written in time."""
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
        """Until the connection can be read or written; not by ``select``, which knows no more than 1,024 files."""
        polling = select.poll()
        try:
            polling.register(self._socket, event_mask)
            polling.poll(None if timeout_s is None else 1000 * timeout_s)
        except (OSError, ValueError) as error:
            self._disconnect()
            raise ConnectionClosedError from error

    def _read_loop(self) -> None:
        """Answer pings and goodbyes; whatever else is said is forgotten."""
        taken = 0
        with contextlib.suppress(
            OSError, ValueError, RemoteProtocolError, LocalProtocolError, ConnectionClosedError, SlowConsumerError
        ):
            while not self.closed and taken <= MAX_READ_BYTES:
                self._poll(select.POLLIN)
                data = self._socket.recv(READ_BYTES)
                taken += len(data)
                for event in self._parse(data):
                    if isinstance(event, Ping | CloseConnection):
                        self._send(event.response())
                    if isinstance(event, CloseConnection):
                        raise ConnectionClosedError
            if taken > MAX_READ_BYTES:
                self._send(CloseConnection(CLOSE_POLICY_VIOLATION, "too much said"))
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
    """What a view returns once its WebSocket has ended: nothing more may be written to the connection."""

    def __call__(self, environ: Mapping[str, Any], *_: Any) -> Any:
        """Let the server forget the connection, in the way that it knows."""
        raise StopIteration if "gunicorn.socket" in environ else ConnectionError


def _do_nothing() -> None:
    """Nobody wants to know."""


def _handshake_headers(environ: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    return [
        (name[5:].replace("_", "-").lower().encode(), str(value).encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
