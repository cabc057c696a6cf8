"""Fences: proof that a subscription has delivered everything that was published before.

A PING on the connection of a subscription is answered after all messages that the server sent before it. Those who
wait for a fence at the same time share one round trip.
"""

import itertools
import threading
from collections.abc import Callable


class _Fence:
    """One round trip, and those who wait for it.

    They wait at a closed lock, which each of them leaves open for the next one: that takes a third of the time of an
    event, and each status request waits here.
    """

    __slots__ = ("_lock", "has_passed", "token")

    def __init__(self, token: bytes) -> None:
        self.token = token
        self.has_passed = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout_s: float) -> None:
        if self._lock.acquire(timeout=timeout_s):
            self._lock.release()

    def end(self) -> None:
        """End the waiting, once."""
        self._lock.release()


class Fences:
    """The fences of one subscription; safe to share between threads."""

    def __init__(self, send: Callable[[bytes], bool]) -> None:
        """``send`` sends a PING with that token; it returns False if the subscription has no connection."""
        self._send = send
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        # On its way, and the one that is sent after it: a request must not rely on a PING older than itself.
        self._current: _Fence | None = None
        self._next: _Fence | None = None

    def wait(self, timeout_s: float) -> bool:
        """Return True once every message that was published before this call has been handled.

        False means that this is unknown: there is no connection, or no answer in time.
        """
        with self._lock:
            if self._current is None:
                fence = self._current = self._new()
                is_first = True
            else:
                fence = self._next = self._next or self._new()
                is_first = False
        if is_first:
            self._begin(fence)
        fence.wait(timeout_s)
        return fence.has_passed

    def pass_through(self, token: bytes) -> None:
        """Handle the answer to a PING, in the order of the messages around it."""
        with self._lock:
            fence = self._current
            if fence is None or fence.token != token:
                return
            following = self._current = self._next
            self._next = None
        fence.has_passed = True
        fence.end()
        if following is not None:
            self._begin(following)

    def fail_all(self) -> None:
        """Release everyone who waits: the connection is lost, and with it the answers."""
        with self._lock:
            lost, self._current, self._next = (self._current, self._next), None, None
        for fence in lost:
            if fence is not None:
                fence.end()

    def _new(self) -> _Fence:
        return _Fence(b"fence %d" % next(self._numbers))

    def _begin(self, fence: _Fence) -> None:
        if not self._send(fence.token):
            self.fail_all()
