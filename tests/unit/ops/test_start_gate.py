"""Processes that have started early wait until their supervisor opens the gate."""

import os
import subprocess
import sys

import pytest

from ops.infra.settings import ROOT
from ops.processes.supervisor import StartGate

PROGRAM = """
from ops.processes.supervisor import await_start, is_gated
print("loaded", is_gated(), flush=True)
await_start()
print("passed", is_gated(), flush=True)
"""
GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent
gevent.spawn(print, "meanwhile", flush=True)
"""


def start(gate: StartGate | None, program: str = PROGRAM) -> "subprocess.Popen[str]":
    """Start a process behind a gate, or without one."""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **(gate.environment if gate else {})},
        pass_fds=(gate.descriptor,) if gate else (),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_process_waits_until_the_gate_opens() -> None:
    """A process that starts later, in place of one that has died, passes at once."""
    gate = StartGate()
    early = start(gate)
    assert early.stdout
    assert early.stdout.readline() == "loaded True\n"
    with pytest.raises(subprocess.TimeoutExpired):
        early.wait(0.1)

    gate.open()
    late = start(gate)

    assert [process.communicate(timeout=60)[0] for process in (early, late)] == [
        "passed False\n",
        "loaded True\npassed False\n",
    ]


def test_greenlets_run_while_a_process_waits() -> None:
    """Those of gunicorn's worker tell gunicorn that it lives."""
    gate = StartGate()
    process = start(gate, GREENLETS + PROGRAM)
    assert process.stdout
    assert [process.stdout.readline() for _ in range(2)] == ["loaded True\n", "meanwhile\n"]

    gate.open()
    assert process.communicate(timeout=60)[0] == "passed False\n"


def test_without_a_gate_nothing_waits() -> None:
    """Processes that no supervisor has started check their settings themselves."""
    assert start(None).communicate(timeout=60)[0] == "loaded False\npassed False\n"
