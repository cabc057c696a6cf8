"""The bytes of a file on their way to a client: by the kernel where the server can, else by copies.

``sendfile`` sends the pages of the file themselves: what is changed before the client has
taken them arrives changed. So the end of every answer is sent as copies, and no end of an answer is sent of a file that
has changed: whoever gets all bytes has the bytes of one file.
"""

import contextlib
import errno
import functools
import os
import socket
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import gevent.socket
import structlog
from gevent.threadpool import ThreadPool

from stores.library.safe_open import OpenFile

SENDFILE_CHUNK_BYTES = 1024 * 1024
CHUNK_BYTES = 256 * 1024
# More than lies between this process and a client on the same machine: 4 MiB here, and what it has not read yet.
COPIED_TAIL_BYTES = 16 * 1024 * 1024
STALL_TIMEOUT_S = 60.0
# Disks may be slow, and some are at the other end of a network: nobody else waits for them.
THREADS = 8
SENDFILE_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class FileBody:
    """``count`` bytes of an open file from ``first`` on, as what WSGI iterates over and closes."""

    def __init__(self, opened: OpenFile, first: int, count: int, environ: Mapping[str, Any]) -> None:
        """The file is closed with it; ``environ`` is the request's."""
        self._opened = opened
        self._at = first
        self._end = first + count
        self._begun = False
        self._connection: socket.socket | None = environ.get("gunicorn.socket")
        self._patience_s = self._connection.gettimeout() if self._connection else None
        self._green = isinstance(self._connection, gevent.socket.socket)
        self._direct = _direct(self._connection, environ)
        _alive.add(self)

    def __iter__(self) -> Iterator[bytes]:
        """Send, or hand over, all of it.

        Raises:
            ConnectionError: the file has changed, or the client takes nothing.
        """
        self._begun = True
        if self._connection:
            self._connection.settimeout(STALL_TIMEOUT_S)
        # The server sends the headers before the first bytes, also if they are none.
        yield b""
        if self._direct:
            self._send_pages(self._direct.fileno(), self._end - COPIED_TAIL_BYTES)
        while self._at < self._end:
            data = self._in_thread(_copied, self._at, min(CHUNK_BYTES, self._end - self._at))
            if self._direct:
                _send(self._direct, data)
            else:
                yield data
            self._at += len(data)

    def close(self) -> None:
        """Let go of the file; and of the connection, if the client waits for more than it will get."""
        _alive.discard(self)
        self._opened.close()
        if not self._connection or not self._begun:
            return
        self._connection.settimeout(self._patience_s)
        if self._at < self._end:
            # The client may have gone.
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def _send_pages(self, out: int, end: int) -> None:
        while self._at < end:
            try:
                self._at += self._in_thread(_sent, self._at, min(SENDFILE_CHUNK_BYTES, end - self._at), out)
            except BlockingIOError:
                gevent.socket.wait_write(out, timeout=STALL_TIMEOUT_S, timeout_exc=_stalled())
            except OSError as error:
                if error.errno in SENDFILE_UNSUPPORTED:
                    return
                raise

    def _in_thread(self, work: Callable[..., Result], *words: int) -> Result:
        """What ``work`` makes of the file, in a thread where that is another than this one."""
        if not self._green:
            return work(self._opened, *words)
        pending = _threads().spawn(_outcome, work, self._opened, *words)
        try:
            outcome: Result | OSError = pending.get()
        finally:
            # Who is stopped must not let go of descriptors that a thread has in hand.
            pending.wait()
        if isinstance(outcome, OSError):
            raise outcome
        return outcome


# One that is dropped before it is sent is forgotten by itself.
_alive: "weakref.WeakSet[FileBody]" = weakref.WeakSet()


def count_active_downloads() -> int:
    """How many answers this process is sending."""
    return len(_alive)


def _direct(connection: socket.socket | None, environ: Mapping[str, Any]) -> socket.socket | None:
    """The socket, if what is written to it reaches the client as it is: no TLS, no frames of HTTP/2."""
    plain = type(connection) is gevent.socket.socket and environ.get("SERVER_PROTOCOL") in ("HTTP/1.0", "HTTP/1.1")
    return connection if plain else None


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except TimeoutError as error:
        raise _stalled() from error


def _sent(opened: OpenFile, at: int, most: int, out: int) -> int:
    """How many bytes the socket has taken; BlockingIOError if it takes none now."""
    sent = os.sendfile(out, opened.fd, at, most)
    _require_unchanged(opened, sent)
    return sent


def _copied(opened: OpenFile, at: int, most: int) -> bytes:
    """Bytes of the file, of which it is certain that they were read before it changed."""
    data = os.pread(opened.fd, most, at)
    _require_unchanged(opened, len(data))
    return data


def _require_unchanged(opened: OpenFile, read: int) -> None:
    if not read or not opened.is_unchanged():
        log.warning("download.file_changed", file=opened.relative_path.decode(errors="replace"))
        raise ConnectionAbortedError(errno.ECONNRESET, "The file changed while it was sent.")


def _outcome(work: Callable[..., Result], opened: OpenFile, *words: int) -> Result | OSError:
    """The result or the error: gevent would write an error in a thread to stderr, although somebody waits for it."""
    try:
        return work(opened, *words)
    except OSError as error:
        return error


def _stalled() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, f"The client has taken nothing for {STALL_TIMEOUT_S:g} s.")


@functools.cache
def _threads() -> ThreadPool:
    """The threads that read files; made when first needed, by the process that needs them."""
    return ThreadPool(THREADS)
