"""What every running process reports about its machine: how far its clock is off, and whether its disk is full."""

import json
import os
import socket
from dataclasses import asdict, dataclass

from redis import Redis

from stores.redis.keys import PROCESS_DETAILS, PROCESS_HEARTBEATS
from stores.redis.scripts import Scripts

REPORT_INTERVAL_S = 10.0
FORGET_AFTER_MS = 35_000
KEYS = {"index": PROCESS_HEARTBEATS, "details": PROCESS_DETAILS}
MAX_CLOCK_OFFSET_MS = 2_000


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """The report of one process, ``ROLE@HOST:PID``. A positive offset means that its clock is ahead of Redis."""

    process: str
    role: str
    clock_offset_ms: int
    disk_free_bytes: int
    disk_problem: str = ""

    @property
    def is_clock_off(self) -> bool:
        """Whether the clock is so far off that it should be set."""
        return abs(self.clock_offset_ms) > MAX_CLOCK_OFFSET_MS


def process_name(role: str) -> str:
    """Return the name of this process in reports."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}"


class ProcessReports:
    """The reports in one Redis. Every method may raise Unavailable."""

    def __init__(self, client: Redis, scripts: Scripts) -> None:
        self._redis = client
        self._scripts = scripts

    def record(self, report: ProcessReport) -> None:
        """Store the report of a process, in place of its last one."""
        status = json.dumps(asdict(report))
        arguments = {**KEYS, "name": report.process, "status": status, "forget_after_ms": FORGET_AFTER_MS}
        self._scripts.run("record_heartbeat", arguments)

    def remove(self, process: str) -> None:
        """Remove the report of a process that stops."""
        with self._redis.pipeline() as pipe:
            pipe.zrem(PROCESS_HEARTBEATS, process)
            pipe.hdel(PROCESS_DETAILS, process)
            pipe.execute()

    def list_recent(self) -> list[ProcessReport]:
        """Return the reports of the running processes, by name."""
        rows = self._scripts.run("list_alive", {**KEYS, "dead_after_ms": FORGET_AFTER_MS})
        return sorted((ProcessReport(**json.loads(row)) for row in rows), key=lambda report: report.process)
