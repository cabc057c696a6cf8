"""The requests and sockets of a page since its prompt was submitted: evidence of whether it still works.

Needed for pages whose sign of work never appears, or never disappears although the result came.
"""

import time

from playwright.async_api import Page, Request, WebSocket

# Requests that only load resources of the page.
LOADING_TYPES = frozenset({"image", "media", "font", "stylesheet", "script", "document", "manifest", "texttrack"})
STREAM_TYPE = "eventsource"
# Shorter requests submit or poll; a longer one may carry the generation.
MIN_WORK_S = 0.5
MAX_OPEN = 1000


class PageConnections:
    """Open requests and WebSockets of a page; ``listen`` before the first navigation, ``start`` at the submission."""

    def __init__(self) -> None:
        self._open: dict[Request | WebSocket, float] = {}
        self._before: set[Request | WebSocket] = set()
        self._changed_at = 0.0
        self._work_ended_at: float | None = None

    def listen(self, page: Page) -> None:
        """Record the connections that the page opens from now on."""
        page.on("websocket", self._on_socket)
        page.on("request", self._on_open)
        page.on("requestfinished", self._on_end)
        page.on("requestfailed", self._on_end)

    def start(self) -> None:
        """Mark the start of the generation: connections that are open now count as earlier ones."""
        self._before = set(self._open)
        self._changed_at = time.monotonic()

    @property
    def quiet_s(self) -> float:
        """Seconds since something was opened or closed; 0 while a request or socket of this submission is open."""
        is_open = any(connection not in self._before for connection in self._open)
        return 0.0 if is_open else time.monotonic() - self._changed_at

    @property
    def has_other_stream(self) -> bool:
        """Whether a socket or stream of before the submission is open, which may bring news at any time."""
        return any(connection in self._open for connection in self._before)

    def seconds_since_work(self) -> float | None:
        """Seconds since the end of the last request or socket that may have carried the generation; None if none."""
        return None if self._work_ended_at is None else time.monotonic() - self._work_ended_at

    def _on_socket(self, socket: WebSocket) -> None:
        self._on_open(socket)
        socket.on("close", self._on_end)

    def _on_open(self, connection: Request | WebSocket) -> None:
        if len(self._open) < MAX_OPEN:
            self._open[connection] = self._changed_at = time.monotonic()

    def _on_end(self, connection: Request | WebSocket) -> None:
        opened_at = self._open.pop(connection, None)
        if opened_at is None or connection in self._before:
            return
        self._changed_at = time.monotonic()
        if isinstance(connection, Request) and connection.resource_type in LOADING_TYPES:
            return
        is_stream = isinstance(connection, WebSocket) or connection.resource_type == STREAM_TYPE
        if is_stream or self._changed_at - opened_at >= MIN_WORK_S:
            self._work_ended_at = self._changed_at
