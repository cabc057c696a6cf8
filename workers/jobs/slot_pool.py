"""The job slots of one worker, for which the wakeups of several Redis servers compete.

A consumer fetches no more wakeups than there are free slots, so that none waits here while another worker is idle.
Slots are taken in the order of arrival: a server with many jobs finds itself behind the others with its next one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slot:
    """One slot; it may be given back before the work that took it has ended."""

    def __init__(self, pool: "SlotPool") -> None:
        self._pool = pool
        self._is_released = False

    def release(self) -> None:
        """Give the slot back, once."""
        if not self._is_released:
            self._is_released = True
            self._pool.put_back()


class SlotPool:
    """So many slots. Slots are taken and given back on the event loop; consumers ask on their own threads."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._changed = threading.Condition()

    def await_free(self, timeout_s: float) -> int:
        """Wait until a slot is free; return how many are, 0 after ``timeout_s``."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0, timeout_s)
            return self._free

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Slot]:
        """Hold a slot while the block runs, or until it is released."""
        await self._take()
        slot = Slot(self)
        try:
            yield slot
        finally:
            slot.release()

    async def _take(self) -> None:
        with self._changed:
            if self._free > 0:
                self._free -= 1
                return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.put_back()
            raise

    def put_back(self) -> None:
        """Pass a slot on to the one who waits longest, or to the consumers."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        with self._changed:
            self._free += 1
            self._changed.notify_all()
