"""What a worker tells the fleet about itself, once a second.

Started by ``workers.main``; read through ``stores.queue.worker_heartbeats``.
"""

import asyncio
import os
import secrets
import socket

import structlog

from schemas.errors import Unavailable
from stores import Stores
from stores.queue.worker_heartbeats import WorkerStatus
from workers.browsers.pool import BrowserPool
from workers.jobs.runner import Runner

BEAT_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


def worker_id() -> str:
    """A name for this process that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


class Presence:
    """The heartbeat of one worker."""

    def __init__(self, stores: Stores, browsers: BrowserPool, runner: Runner, worker: str, slots: int) -> None:
        """``slots`` is how many jobs the worker may have in hand."""
        self._stores = stores
        self._browsers = browsers
        self._runner = runner
        self._worker = worker
        self._slots = slots

    async def beat_for_ever(self) -> None:
        """Beat once a second."""
        while True:
            await self.beat()
            await asyncio.sleep(BEAT_INTERVAL_S)

    async def beat(self) -> None:
        """Tell the fleet how this worker is."""
        status = WorkerStatus(
            id=self._worker,
            ready=self._browsers.ready,
            browser=self._browsers.version,
            browser_restarts=self._browsers.launches - 1,
            contexts=self._browsers.open_contexts,
            slots=self._slots,
            jobs=self._runner.running,
            memory_bytes=self._browsers.memory_bytes,
            problem=self._browsers.problem,
        )
        try:
            await asyncio.to_thread(self._stores.fleet.beat, status)
        except Unavailable as error:
            log.warning("presence.failed", error=error.message)
