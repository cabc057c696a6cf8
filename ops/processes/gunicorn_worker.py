"""How the front's server answers what it cannot read as HTTP: with JSON and a request id, as everything else does.

Named by ``ops.cli.run.front_command``. Nothing here may load ``ssl``, directly or not, before gevent has patched it.
"""

import contextlib
import json
import secrets
import socket
from http import HTTPStatus
from types import FrameType

import gevent
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.ggevent import GeventWorker

STATUSES = {
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}
MESSAGES = {
    HTTPStatus.REQUEST_URI_TOO_LONG: "The address is too long: send long prompts as JSON, by POST.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers are too many or too long.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong inside Darkroom; the log has the details.",
}


class WebWorker(GeventWorker):  # type: ignore[misc] # gunicorn leaves it untyped
    """gunicorn's gevent worker with our words for what never reaches the application."""

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        """Stop: those who wait for something are told, so that they go to another process."""
        # Not here, where a signal has interrupted anything at all.
        gevent.spawn(self._release_waiters)
        super().handle_exit(number, frame)

    def _release_waiters(self) -> None:
        stores = getattr(self.wsgi, "extensions", {}).get("stores")
        if stores:
            stores.notifier.announce_shutdown()

    def handle_error(self, _request: object, client: socket.socket, _address: object, error: Exception) -> None:
        """Answer a request that was no request, and close the connection."""
        ident = secrets.token_hex(8)
        status = _status_for(error)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, ParseException):
            self.log.error("request %s failed", ident, exc_info=error)
        # The client may have gone.
        with contextlib.suppress(OSError):
            client.sendall(_error_response(status, error, ident))


def _status_for(error: Exception) -> HTTPStatus:
    for kind, status in STATUSES.items():
        if isinstance(error, kind):
            return status
    return HTTPStatus.BAD_REQUEST if isinstance(error, ParseException) else HTTPStatus.INTERNAL_SERVER_ERROR


def _error_response(status: HTTPStatus, error: Exception, request_id: str) -> bytes:
    words = MESSAGES.get(status, f"This is not valid HTTP: {error}")
    # Which surface was meant is not known: clients of the generaitiv API read "message", all others "error".
    payload = json.dumps({"error": words, "message": words, "requestId": request_id}).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(payload)}",
        "X-Content-Type-Options: nosniff",
        f"X-Request-ID: {request_id}",
        "Connection: close",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + payload
