"""How long the platform lets a process stop, and the warning about a DRAIN_GRACE_S above it."""

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ops.infra.settings import Settings
from ops.processes.stopping import stop_limit
from ops.processes.stopping.stop_limit import (
    STOP_MARGIN_S,
    find_stop_limit,
    parse_systemd_time,
    stop_advice,
    warn_of_stop_limit,
)

UNIT = "darkroom-worker.service"


@pytest.mark.parametrize(
    ("text", "seconds"), [("1min 30s", 90), ("infinity", 0), ("20s", 20), ("1h 500ms\n", 3600.5), ("", 0)]
)
def test_time_spans_of_systemd_are_read(text: str, seconds: float) -> None:
    """As ``systemctl show`` prints them."""
    assert parse_systemd_time(text) == seconds


def test_heroku_kills_after_half_a_minute(base_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is too long there; the advice fits."""
    monkeypatch.setenv("DYNO", "worker.1")
    with capture_logs() as lines:
        warn_of_stop_limit(base_settings)
        warn_of_stop_limit(replace(base_settings, drain_grace_s=22))
    [line] = lines
    assert line["event"] == "drain.too_long"
    assert "set it to 22 at most" in line["advice"]


def test_other_platforms_need_a_setting(base_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes does not report its limit to processes; the setting takes precedence over a detected limit."""
    assert find_stop_limit(0, {}) is None
    monkeypatch.setenv("DYNO", "worker.1")
    limit = find_stop_limit(90)
    assert limit
    assert stop_advice(90 - STOP_MARGIN_S, limit) == ""
    assert "STOP_TIMEOUT_S" in str(limit)


def test_the_limit_of_the_systemd_unit_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the unit that the process belongs to; without an answer there is no limit."""
    (tmp_path / "cgroup").write_text(f"0::/system.slice/{UNIT}\n")
    monkeypatch.setattr(stop_limit, "CGROUP_FILE", tmp_path / "cgroup")
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\n[ "$5" = {UNIT} ] && echo 1min 30s\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    limit = find_stop_limit(0, {"INVOCATION_ID": "1"})
    assert limit
    assert (limit.seconds, UNIT in limit.source) == (90, True)
    program.write_text("#!/bin/sh\nexit 1\n")
    assert find_stop_limit(0, {"INVOCATION_ID": "1"}) is None
    monkeypatch.setattr(stop_limit, "CGROUP_FILE", tmp_path / "none")
    assert find_stop_limit(0, {"INVOCATION_ID": "1"}) is None
