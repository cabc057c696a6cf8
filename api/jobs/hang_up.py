"""Clients that hang up while their request is answered: noticed at once, without waiting for a write to fail."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import request

from stores.redis.pubsub import ChangeSignal

CANCEL_HEADER = "X-Darkroom-Cancel-On-Disconnect"
TRUE_VALUES = ("1", "true", "yes")
CANCEL_PARAMETER = {
    "in": "header",
    "name": CANCEL_HEADER,
    "schema": {"type": "string"},
    "description": "`true`: jobs of this request are cancelled if the client disconnects. Otherwise they go on.",
    "example": "true",
}


def wants_cancellation() -> bool:
    """Whether the client of the current request wants its jobs to be cancelled when it hangs up."""
    return request.headers.get(CANCEL_HEADER, "").strip().lower() in TRUE_VALUES


def watch_hang_up() -> "HangUp":
    """Return the watch over the connection of the current request."""
    environ = request.environ
    return HangUp(environ.get("gunicorn.socket") or environ.get("werkzeug.socket"))


class HangUp:
    """Whether the client at the other end of a connection has hung up.

    Without a plain socket (TLS of the web process itself, or a test client) it never happens, and a hang-up is noticed
    when something is written.
    """

    def __init__(self, connection: socket.socket | None) -> None:
        is_plain = connection is not None and not hasattr(connection, "getpeercert")
        self._connection = connection if is_plain else None
        self.has_happened = False

    @contextmanager
    def notifying(self, signal: ChangeSignal) -> Iterator[None]:
        """Notify ``signal`` when the client hangs up while the block runs."""
        if self._connection is None:
            yield
            return
        ours, theirs = socket.socketpair()
        arguments = (self._connection, theirs, signal)
        thread = threading.Thread(target=self._watch, args=arguments, name="hang-up", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ours.close()
            thread.join()
            theirs.close()

    def _watch(self, connection: socket.socket, stop: socket.socket, signal: ChangeSignal) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (connection, stop):
                selector.register(each, selectors.EVENT_READ)
            ready = {key.fileobj for key, _ in selector.select()}
        if stop not in ready and _is_at_end(connection):
            self.has_happened = True
            signal.notify()


def _is_at_end(connection: socket.socket) -> bool:
    """Whether nothing more can arrive. Bytes that have arrived belong to the next request of a client that waits."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
