"""Limits on how long the body of an HTTP request may take, for gunicorn's workers.

A client that sends its body drop by drop would hold a connection, and a place in the web process, for ever. The time
counts from the first read, so a request that is refused before its body is read costs nothing. This module must not
import ``ssl``, directly or indirectly: see ``gunicorn_worker``.
"""

import contextlib
import io
import socket
import time
from typing import Any

from gunicorn.http.body import ChunkedReader, LengthReader

GRACE_S = 10.0
# After the grace period the average since the first read may not be lower.
MIN_BYTES_PER_S = 10_000
MAX_BODY_S = 600.0
# After an answer that did not wait for the body, the client may go on sending this long until it reads the answer.
LINGER_S = 3.0
LINGER_READ_BYTES = 64 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyTooSlowError(Exception):
    """The body of the request arrives too slowly. Not an OSError: that would mean that the client has disconnected."""


def has_body(request: Any) -> bool:
    """Whether a client announces a body; most requests have none and need no limits."""
    reader = request.body.reader
    return not (isinstance(reader, LengthReader) and reader.length == 0)


class RequestBody:
    """The body of one request: a source of bytes with limits on time, in place of the socket in gunicorn's reader.

    ``100 Continue`` is sent with the first read, not before the request is accepted.
    """

    def __init__(self, request: Any, connection: socket.socket) -> None:
        """Put this object into ``request``, which is gunicorn's; ``release`` puts the socket back."""
        self._request = request
        self._socket = connection
        self._started_at = 0.0
        self._received = 0
        self._expects_continue = request._expected_100_continue  # noqa: SLF001 - gunicorn sends it at once otherwise
        request._expected_100_continue = False  # noqa: SLF001 - as above
        self._closes = request.should_close
        # Asked when the headers of the response are sent, and again afterwards.
        request.should_close = self._should_close
        request.unreader.sock = self

    def recv(self, size: int) -> bytes:
        """Read from the socket; raises BodyTooSlowError."""
        now = time.monotonic()
        if not self._started_at:
            self._started_at = now
            if self._expects_continue:
                self._socket.sendall(CONTINUE)
        left_s = min(GRACE_S + self._received / MIN_BYTES_PER_S, MAX_BODY_S) - (now - self._started_at)
        if left_s <= 0:
            raise BodyTooSlowError
        timeout_s = self._socket.gettimeout()
        self._socket.settimeout(left_s)
        try:
            data = self._socket.recv(size)
        except TimeoutError as error:
            raise BodyTooSlowError from error
        finally:
            self._socket.settimeout(timeout_s)
        self._received += len(data)
        return data

    def peek(self, max_bytes: int) -> bytes | None:
        """Return the whole body, which can still be read; None if it is longer, of unknown length, or does not arrive.

        The next reader of the body gets the error.
        """
        reader, buffer = self._request.body.reader, self._request.unreader.buf
        if not isinstance(reader, LengthReader) or reader.length > max_bytes:
            return None
        data = bytes(buffer.getvalue())
        buffer.seek(0, io.SEEK_END)
        try:
            while len(data) < reader.length:
                received = self.recv(reader.length - len(data))
                if not received:
                    return None
                buffer.write(received)
                data += received
        except (OSError, BodyTooSlowError):
            return None
        return data[: reader.length]

    def release(self) -> None:
        """Put the socket back. If the client may still be sending, close this side and let it read the answer."""
        self._request.unreader.sock = self._socket
        if not self._is_read():
            self._linger()

    def _should_close(self) -> bool:
        return self._closes() or not self._is_read()

    def _is_read(self) -> bool:
        """Whether the next bytes on the connection are those of another request; reads what has arrived already."""
        body, reader = self._request.body, self._request.body.reader
        if body.failed:
            return False
        if isinstance(reader, ChunkedReader):
            return bool(reader.parser is None)
        if not isinstance(reader, LengthReader):
            return True
        if reader.length and reader.length <= len(self._request.unreader.buf.getvalue()):
            reader.read(reader.length)
        return bool(reader.length == 0)

    def _linger(self) -> None:
        """Read and drop what still arrives, until the client closes the connection or the time is over.

        Closing a socket with unread bytes would reset the connection, and the client could lose the answer.
        """
        ends_at = time.monotonic() + LINGER_S
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while (left_s := ends_at - time.monotonic()) > 0:
                self._socket.settimeout(left_s)
                if not self._socket.recv(LINGER_READ_BYTES):
                    return
