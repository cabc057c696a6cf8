"""gunicorn's gevent worker with JSON error responses for requests that cannot be parsed as HTTP.

Named by class path in ``ops.processes.web_command``. This module must not import ``ssl``, directly or indirectly,
because gevent has to patch it first.
"""

import contextlib
import json
import logging
import secrets
import socket
import time
from functools import lru_cache
from http import HTTPStatus
from types import FrameType
from typing import Any

import gevent
from gunicorn import SERVER
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.util import http_date
from gunicorn.workers.ggevent import GeventWorker

from ops.processes.code_loading import paused_collections
from ops.processes.request_bodies import RequestBody, has_body

NOTIFY_INTERVAL_S = 1.0
DIRECT_METHODS = ("GET", "POST")
STATUSES = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}
MESSAGES = {
    HTTPStatus.REQUEST_URI_TOO_LONG: "The URL is too long: send long prompts as JSON, by POST.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers are too many or too long.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Internal error; the log has the details.",
}


class WebWorker(GeventWorker):  # type: ignore[misc] # gunicorn leaves it untyped
    """A gevent worker that ends long polls and streams on shutdown and reports bad HTTP as JSON."""

    def init_process(self) -> None:
        """Start serving. Settings become plain attributes: gunicorn looks fifteen of them up for each request."""
        names = self.cfg.settings.keys() - vars(type(self.cfg)).keys()
        self.cfg.__dict__.update({name: self.cfg.settings[name].get() for name in names})
        super().init_process()

    def patch(self) -> None:
        """Patch the standard library, and log what ends a greenlet instead of printing it."""
        super().patch()
        gevent.get_hub().print_exception = _log_exception

    def load_wsgi(self) -> None:
        """Load the application, which may wait for its supervisor longer than gunicorn lets a silent worker live."""
        notifications = gevent.spawn(self._notify_repeatedly)
        try:
            with paused_collections():
                super().load_wsgi()
        finally:
            notifications.kill()

    def _notify_repeatedly(self) -> None:
        while True:
            self.notify()
            gevent.sleep(NOTIFY_INTERVAL_S)

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        """Begin the shutdown: waiting clients get their response now and reconnect to another process."""
        # In a greenlet: a signal handler may have interrupted code that holds a lock.
        gevent.spawn(self._release_waiters)
        super().handle_exit(number, frame)

    def _release_waiters(self) -> None:
        # A process that still loads its application has none, and no client waits.
        stores = getattr(getattr(self, "wsgi", None), "extensions", {}).get("stores")
        if stores:
            stores.notifier.announce_shutdown()

    def handle_request(self, listener: Any, request: Any, client: socket.socket, address: Any) -> Any:
        """Answer a request; its body has to arrive in time.

        The application may have answers that take less than a call of it: they are asked for first.
        """
        body = RequestBody(request, client) if has_body(request) else None
        try:
            if answer := self._direct_answer(request, body):
                return self._send_answer(request, client, answer)
            return super().handle_request(listener, request, client, address)
        except gevent.GreenletExit:
            # The forced stop: the connection is closed, which is no failure of the request.
            raise StopIteration from None
        finally:
            if body:
                body.release()

    def _direct_answer(self, request: Any, body: RequestBody | None) -> Any:
        if request.method not in DIRECT_METHODS or request.query or request.version != (1, 1):
            return None
        give_answer = getattr(self.wsgi, "extensions", {}).get("direct_answers", {}).get(request.method)
        if give_answer is None:
            return None
        if request.method == "POST":
            return give_answer(request.path, request.headers, body.peek) if body else None
        # gunicorn answers an expectation in the usual way.
        is_plain = body is None and not request._expected_100_continue  # noqa: SLF001 - as above
        return give_answer(request.path, request.headers) if is_plain else None

    def _send_answer(self, request: Any, client: socket.socket, answer: Any) -> bool:
        """Send a response as gunicorn does it."""
        self.nr += 1
        closes = not self.alive or not self.cfg.keepalive or request.should_close()
        fields = "".join([f"{name}: {value}\r\n" for name, value in answer.headers])
        head = (
            f"HTTP/1.1 {answer.status}\r\nServer: {SERVER}\r\nDate: {_format_date(int(time.time()))}\r\n"
            f"Connection: {'close' if closes else 'keep-alive'}\r\n{fields}\r\n"
        )
        data = head.encode("latin-1") + answer.body
        # gevent's ``sendall`` asks for the size of the socket's buffer first, and most answers fit.
        sent = client.send(data)
        if sent < len(data):
            client.sendall(data[sent:])
        if closes:
            # As gunicorn's own workers end a connection.
            raise StopIteration
        return True

    def handle_error(self, _request: object, client: socket.socket, _address: object, error: Exception) -> None:
        """Respond to a request that cannot be parsed; gunicorn then closes the connection."""
        request_id = secrets.token_hex(8)
        status = _status_for(error)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, ParseException):
            self.log.error("request %s failed", request_id, exc_info=error)
        # The client may have disconnected.
        with contextlib.suppress(OSError):
            client.sendall(_error_response(status, error, request_id))


@lru_cache(maxsize=2)
def _format_date(second: int) -> str:
    return str(http_date(second))


def _log_exception(_context: object, kind: Any, error: Any, traceback: Any) -> None:
    logging.getLogger("gevent").error("greenlet.failed", exc_info=(kind, error, traceback))


def _status_for(error: Exception) -> HTTPStatus:
    for error_class, status in STATUSES.items():
        if isinstance(error, error_class):
            return status
    return HTTPStatus.BAD_REQUEST if isinstance(error, ParseException) else HTTPStatus.INTERNAL_SERVER_ERROR


def _error_response(status: HTTPStatus, error: Exception, request_id: str) -> bytes:
    message = MESSAGES.get(status, f"This is not valid HTTP: {error}")
    # The API that was addressed is unknown: clients of the generaitiv API read "message", all others "error".
    payload = json.dumps({"error": message, "message": message, "requestId": request_id}).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(payload)}",
        "X-Content-Type-Options: nosniff",
        f"X-Request-ID: {request_id}",
        "Connection: close",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + payload
