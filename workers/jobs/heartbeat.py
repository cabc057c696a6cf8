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

HEARTBEAT_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


def create_worker_id() -> str:
    """A name for this process that no other has."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


class Heartbeat:
    """The heartbeat of one worker."""

    def __init__(self, stores: Stores, browsers: BrowserPool, runner: Runner, worker_id: str, slots: int) -> None:
        """``slots`` is how many jobs the worker may have in hand."""
        self._stores = stores
        self._browsers = browsers
        self._runner = runner
        self._worker_id = worker_id
        self._slots = slots

    async def run_forever(self) -> None:
        """Beat once a second."""
        while True:
            await self.send()
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)

    async def send(self) -> None:
        """Tell the fleet how this worker is."""
        status = WorkerStatus(
            id=self._worker_id,
            ready=self._browsers.is_ready,
            browser=self._browsers.browser_version,
            browser_restarts=self._browsers.launch_count - 1,
            contexts=self._browsers.open_contexts,
            slots=self._slots,
            jobs=self._runner.running_jobs,
            memory_bytes=self._browsers.memory_bytes,
            problem=self._browsers.problem,
        )
        try:
            await asyncio.to_thread(self._stores.workers.record_heartbeat, status)
        except Unavailable as error:
            log.warning("presence.failed", error=error.message)
