"""The time that the platform gives a process to stop, compared with the time that Darkroom needs."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from ops.infra.settings import Settings

# What a stopping process needs beside DRAIN_GRACE_S: its jobs are released, its browser is closed.
STOP_MARGIN_S = 8
HEROKU_STOP_S = 30
CGROUP_FILE = Path("/proc/self/cgroup")
SYSTEMD_TIMEOUT_S = 2
SYSTEMD_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StopLimit:
    """A time in seconds after which the platform kills, and where it is set."""

    seconds: float
    source: str


def warn_of_stop_limit(settings: Settings) -> None:
    """Log a warning if DRAIN_GRACE_S is longer than the platform allows: it would kill the process with its jobs."""
    limit = find_stop_limit(settings.stop_timeout_s)
    if limit is not None and (advice := stop_advice(settings.drain_grace_s, limit)):
        log.warning("drain.too_long", platform_kills_after_s=limit.seconds, according_to=limit.source, advice=advice)


def stop_advice(drain_grace_s: int, limit: StopLimit) -> str:
    """Return what to do about a DRAIN_GRACE_S that is too long for the platform; empty if it is not."""
    if drain_grace_s + STOP_MARGIN_S <= limit.seconds:
        return ""
    max_grace_s = max(int(limit.seconds) - STOP_MARGIN_S, 0)
    return f"DRAIN_GRACE_S is {drain_grace_s}: set it to {max_grace_s} at most, or let the platform wait longer"


def find_stop_limit(stop_timeout_s: int, environment: Mapping[str, str] = os.environ) -> StopLimit | None:
    """Return the platform's limit: STOP_TIMEOUT_S, or that of Heroku, or that of the systemd unit."""
    if stop_timeout_s:
        return StopLimit(stop_timeout_s, "STOP_TIMEOUT_S")
    if "DYNO" in environment:
        return StopLimit(HEROKU_STOP_S, "Heroku")
    # systemd sets this for every service.
    if "INVOCATION_ID" in environment and (unit := _systemd_unit()):
        seconds = _systemd_stop_timeout_s(unit)
        return StopLimit(seconds, f"TimeoutStopSec of {unit}") if seconds else None
    return None


def _systemd_unit() -> str:
    """Return the service whose own process this is, or nothing."""
    try:
        unit = CGROUP_FILE.read_text().strip().rpartition("/")[2]
    except OSError:
        return ""
    return unit if unit.endswith(".service") else ""


def _systemd_stop_timeout_s(unit: str) -> float:
    """Return the unit's time limit, or 0 if it has none or systemd does not tell."""
    command = ["systemctl", "show", "--property=TimeoutStopUSec", "--value", "--", unit]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMD_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return parse_systemd_time(done.stdout)


def parse_systemd_time(text: str) -> float:
    """Return the seconds of a time span such as ``1min 30s``; 0 for ``infinity``."""
    parts = re.findall(r"([0-9.]+)([a-z]+)", text)
    return sum(float(number) * SYSTEMD_UNITS_S.get(unit, 0) for number, unit in parts)
