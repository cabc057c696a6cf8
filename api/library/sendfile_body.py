"""A WSGI response body that sends a file with sendfile() where the connection allows it, and by copying elsewhere.

sendfile() sends live pages of the page cache, so a concurrent write can leak into the response. The end of every
response is therefore copied, and the connection is aborted if the file has changed by then: a response that arrives
complete is consistent.
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
# More than fits between this process and a client on the same machine: up to 4 MiB of socket buffers on this side, and
# what the client has not read yet.
COPIED_TAIL_BYTES = 16 * 1024 * 1024
STALL_TIMEOUT_S = 60.0
# Reading from disks and network file systems can block: it must not block the event loop.
THREADS = 8
SENDFILE_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)

Result = TypeVar("Result")

log = structlog.get_logger(__name__)

# Weak, so that a body that is dropped before it is iterated over is not counted.
_active: "weakref.WeakSet[FileBody]" = weakref.WeakSet()


def count_active_downloads() -> int:
    """Return how many responses this process is sending."""
    return len(_active)


class FileBody:
    """``count`` bytes of an open file from ``first`` on, as an iterable for WSGI."""

    def __init__(self, opened: OpenFile, first: int, count: int, environ: Mapping[str, Any]) -> None:
        """``opened`` is closed with the body. ``environ`` is that of the request."""
        self._opened = opened
        self._offset = first
        self._end = first + count
        self._has_begun = False
        self._connection: socket.socket | None = environ.get("gunicorn.socket")
        self._original_timeout_s = self._connection.gettimeout() if self._connection else None
        self._is_gevent = isinstance(self._connection, gevent.socket.socket)
        self._direct = _direct_socket(self._connection, environ)
        _active.add(self)

    def __iter__(self) -> Iterator[bytes]:
        """Send the bytes to the socket, or yield them if the socket is not accessible.

        Raises:
            ConnectionError: the file has changed, or the client has stalled.
        """
        self._has_begun = True
        if self._connection:
            self._connection.settimeout(STALL_TIMEOUT_S)
        # Makes the server send the headers.
        yield b""
        if self._direct:
            self._send_pages(self._direct.fileno(), self._end - COPIED_TAIL_BYTES)
        while self._offset < self._end:
            data = self._run_in_thread(_read, self._offset, min(CHUNK_BYTES, self._end - self._offset))
            if self._direct:
                _send(self._direct, data)
            else:
                yield data
            self._offset += len(data)

    def close(self) -> None:
        """Close the file. Shut the connection down if the response is incomplete."""
        _active.discard(self)
        self._opened.close()
        if not self._connection or not self._has_begun:
            return
        self._connection.settimeout(self._original_timeout_s)
        if self._offset < self._end:
            # Otherwise the next response would be taken for the rest of the file. The client may have gone already.
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def _send_pages(self, out: int, end: int) -> None:
        """Send up to ``end`` with sendfile(); returns early if the file system does not support it."""
        while self._offset < end:
            try:
                self._offset += self._run_in_thread(
                    _sendfile, self._offset, min(SENDFILE_CHUNK_BYTES, end - self._offset), out
                )
            except BlockingIOError:
                gevent.socket.wait_write(out, timeout=STALL_TIMEOUT_S, timeout_exc=_stall_error())
            except OSError as error:
                if error.errno in SENDFILE_UNSUPPORTED:
                    return
                raise

    def _run_in_thread(self, work: Callable[..., Result], *args: int) -> Result:
        """Return ``work(file, *args)``, run in a thread under gevent."""
        if not self._is_gevent:
            return work(self._opened, *args)
        pending = _threads().spawn(_catch_os_error, work, self._opened, *args)
        try:
            result: Result | OSError = pending.get()
        finally:
            # A killed greenlet must not close descriptors that the thread still uses.
            pending.wait()
        if isinstance(result, OSError):
            raise result
        return result


def _direct_socket(connection: socket.socket | None, environ: Mapping[str, Any]) -> socket.socket | None:
    """Return the socket if bytes written to it reach the client unchanged: neither TLS nor HTTP/2."""
    is_plain = type(connection) is gevent.socket.socket and environ.get("SERVER_PROTOCOL") in ("HTTP/1.0", "HTTP/1.1")
    return connection if is_plain else None


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except TimeoutError as error:
        raise _stall_error() from error


def _sendfile(opened: OpenFile, offset: int, count: int, out: int) -> int:
    """Return how many bytes the socket took; raises BlockingIOError if its buffer is full."""
    sent = os.sendfile(out, opened.fd, offset, count)
    _require_unchanged(opened, sent)
    return sent


def _read(opened: OpenFile, offset: int, count: int) -> bytes:
    data = os.pread(opened.fd, count, offset)
    # After reading, so that a write before or during it is noticed.
    _require_unchanged(opened, len(data))
    return data


def _require_unchanged(opened: OpenFile, count: int) -> None:
    if not count or not opened.is_unchanged():
        log.warning("download.file_changed", file=opened.relative_path.decode(errors="replace"))
        raise ConnectionAbortedError(errno.ECONNRESET, "The file changed while it was sent.")


def _catch_os_error(work: Callable[..., Result], opened: OpenFile, *args: int) -> Result | OSError:
    """Return errors instead of raising them: gevent prints exceptions of its threads to stderr, handled or not."""
    try:
        return work(opened, *args)
    except OSError as error:
        return error


def _stall_error() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, f"The client has read nothing for {STALL_TIMEOUT_S:g} s.")


@functools.cache
def _threads() -> ThreadPool:
    """Return the thread pool of this process, created on first use: threads do not survive a fork."""
    return ThreadPool(THREADS)
