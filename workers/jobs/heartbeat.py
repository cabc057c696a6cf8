"""Publishes the state of a worker once a second, for the health view and the detection of dead workers."""

import asyncio
import os
import secrets
import socket
from collections.abc import Sized

import structlog

from ops.processes.liveness_file import touch_liveness_file
from schemas.errors import Unavailable
from stores import Stores
from stores.queue.worker_heartbeats import WorkerStatus
from workers.browsers.pool import BrowserPool

HEARTBEAT_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


def create_worker_id() -> str:
    """Return a unique name for this process: host, process id and a random suffix."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


class Heartbeat:
    """Sends the heartbeats of one worker, which may execute ``slots`` jobs at a time."""

    def __init__(self, stores: Stores, browsers: BrowserPool, attempts: Sized, worker_id: str, slots: int) -> None:
        self._stores = stores
        self._browsers = browsers
        self._attempts = attempts
        self._worker_id = worker_id
        self._slots = slots
        self._started_at = stores.clock.now_ms()

    async def run_forever(self) -> None:
        """Send a heartbeat every ``HEARTBEAT_INTERVAL_S`` seconds."""
        while True:
            await self.send()
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)

    async def send(self) -> None:
        """Send one heartbeat; a failure is logged and not raised."""
        touch_liveness_file(self._stores.settings.liveness_file)
        # A browser on a full disk fails one job after another, so the worker claims none.
        disk_problem = await asyncio.to_thread(self._stores.disk.problem)
        status = WorkerStatus(
            id=self._worker_id,
            ready=self._browsers.is_ready and not disk_problem,
            browser=self._browsers.browser_version,
            browser_restarts=self._browsers.launch_count - 1,
            contexts=self._browsers.open_contexts,
            slots=self._slots,
            jobs=len(self._attempts),
            memory_bytes=self._browsers.memory_bytes,
            problem=disk_problem or self._browsers.problem,
            started_at=self._started_at,
            browser_started_at=self._browser_started_at(),
        )
        try:
            await asyncio.to_thread(self._stores.workers.keep_alive, status)
        except Unavailable as error:
            log.warning("heartbeat.failed", error=str(error))

    def _browser_started_at(self) -> int:
        age_ms = round(self._browsers.browser_age_s * 1000)
        return self._stores.clock.now_ms() - age_ms if age_ms else 0
