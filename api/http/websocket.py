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
MOST_READ = 64 * 1024
SLOW_AFTER_S = 10.0
GRACE_S = 5.0
NORMAL, POLICY, TRY_LATER = 1000, 1008, 1013

log = structlog.get_logger(__name__)


class SlowReaderError(Exception):
    """The client has not taken what was sent for too long; it has been told so, if it listens at all."""


class GoneError(Exception):
    """The client is no longer there."""


class WebSocket:
    """A connection that has been upgraded. ``on_close`` is called, from another thread, when the client goes."""

    # A process may have ten thousand.
    __slots__ = ("_protocol", "_reader", "_socket", "_writing", "closed", "on_close")

    def __init__(self, environ: Mapping[str, Any]) -> None:
        """``environ`` is the request's.

        Raises:
            Invalid: it is no handshake; nothing has been sent.
            GoneError: the client has gone already.
        """
        self._socket: socket.socket = environ.get("gunicorn.socket") or environ["werkzeug.socket"]
        handshake = H11Handshake(ConnectionType.SERVER)
        self.on_close: Callable[[], None] = _nothing
        self._writing = threading.Lock()
        self.closed = False
        try:
            handshake.initiate_upgrade_connection(_headers(environ), environ.get("REQUEST_URI", "/"))
        except (RemoteProtocolError, h11.ProtocolError, ValueError) as error:
            raise Invalid(problems=[f"This is no handshake of a WebSocket: {error}."]) from error
        # Each side waits for itself, so that neither takes the other's patience.
        self._socket.settimeout(0.0)
        accepted = handshake.send(AcceptConnection())
        self._protocol = cast(Connection, handshake.connection)
        if self._write(accepted, GRACE_S):
            raise GoneError
        self._reader = threading.Thread(target=self._read, name="websocket", daemon=True)
        self._reader.start()

    def text(self, message: str) -> None:
        """Send words; raises SlowReaderError or GoneError."""
        self._send(TextMessage(message))

    def binary(self, message: bytes) -> None:
        """Send bytes; raises SlowReaderError or GoneError."""
        self._send(BytesMessage(message))

    def ping(self) -> None:
        """See whether the client is there; raises SlowReaderError or GoneError."""
        self._send(Ping())

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, and drop the connection."""
        with contextlib.suppress(SlowReaderError, GoneError):
            self._send(CloseConnection(code, reason))
        self._drop()

    def _send(self, event: Event) -> None:
        with self._writing:
            if self.closed:
                raise GoneError
            try:
                data = self._protocol.send(event)
            except LocalProtocolError as error:
                raise GoneError from error
            left = self._write(data, SLOW_AFTER_S)
            if left:
                log.info("socket.too_slow", unsent_bytes=len(left))
                # The rest of the message first, for what is cut in two cannot be understood.
                self._write(left + self._protocol.send(CloseConnection(TRY_LATER, "too slow")), GRACE_S)
                self._drop()
                raise SlowReaderError

    def _write(self, data: bytes, patience_s: float) -> bytes:
        """What could not be written in time."""
        deadline = time.monotonic() + patience_s
        while data:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return data
                self._await(select.POLLOUT, left_s)
            except (OSError, ValueError) as error:
                self._drop()
                raise GoneError from error
        return b""

    def _await(self, what: int, most_s: float | None = None) -> None:
        """Until the connection can be read or written; not by ``select``, which knows no more than 1,024 files."""
        polling = select.poll()
        try:
            polling.register(self._socket, what)
            polling.poll(None if most_s is None else 1000 * most_s)
        except (OSError, ValueError) as error:
            self._drop()
            raise GoneError from error

    def _read(self) -> None:
        """Answer pings and goodbyes; whatever else is said is forgotten."""
        taken = 0
        with contextlib.suppress(
            OSError, ValueError, RemoteProtocolError, LocalProtocolError, GoneError, SlowReaderError
        ):
            while not self.closed and taken <= MOST_READ:
                self._await(select.POLLIN)
                data = self._socket.recv(READ_BYTES)
                taken += len(data)
                for event in self._understood(data):
                    if isinstance(event, Ping | CloseConnection):
                        self._send(event.response())
                    if isinstance(event, CloseConnection):
                        raise GoneError
            if taken > MOST_READ:
                self._send(CloseConnection(POLICY, "too much said"))
        self._drop()

    def _understood(self, data: bytes) -> list[Event]:
        with self._writing:
            self._protocol.receive_data(data or None)
            return list(self._protocol.events())

    def _drop(self) -> None:
        if not self.closed:
            self.closed = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self.on_close()


class Upgraded(Response):
    """What a view returns once its WebSocket has ended: nothing more may be written to the connection."""

    def __call__(self, environ: Mapping[str, Any], *_: Any) -> Any:
        """Let the server forget the connection, in the way that it knows."""
        raise StopIteration if "gunicorn.socket" in environ else ConnectionError


def _nothing() -> None:
    """Nobody wants to know."""


def _headers(environ: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    return [
        (name[5:].replace("_", "-").lower().encode(), str(value).encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
