"""The command ``chaos``: a Darkroom under fire for some minutes, then quiet, then the verdict."""

import contextlib
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ops.chaos.clients import Caller, Wish
from ops.chaos.faults import Faults
from ops.chaos.recoveries import Recoveries
from ops.chaos.verdict import MARK, Verdict, processes_of, show
from ops.testbed import hostile_site
from ops.testbed.stack import Stack, stack
from schemas.errors import Unavailable

WORKERS = ["worker.1", "worker.2"]
CALLERS = 4
TICK_S = 0.1
QUIET_WITHIN_S = 180.0
GONE_WITHIN_S = 15.0
SITE = "hostile"
MANNERS = hostile_site.Manners(shortest_s=0.3, longest_s=2.5, down=0.02, refuses=0.03)


@click.command()
@click.option("--minutes", type=click.FloatRange(0.1, 600), default=5.0, show_default=True, help="How long it lasts.")
@click.option("--seed", type=int, default=None, help="Makes the same wishes and the same plan of faults again.")
@click.option("--rate", type=click.FloatRange(0.1, 20), default=1.5, show_default=True, help="Jobs a second.")
@click.option("--verbose", is_flag=True, help="Say what happens when.")
def chaos(minutes: float, seed: int | None, rate: float, verbose: bool) -> None:
    """Kill, pause and cut whatever can be, and prove that no job is lost, doubled or mixed up."""
    seed = random.randrange(10_000) if seed is None else seed
    token = secrets.token_hex(8)
    verdict = Verdict()
    with _darkroom(token) as darkroom:
        faults = Faults(darkroom, WORKERS, seed)
        recoveries = Recoveries(darkroom)
        callers = _callers(darkroom, seed, rate)
        _under_fire(darkroom, faults, recoveries, minutes * 60, say=verbose)
        wishes = _wishes_of(callers, darkroom, recoveries)
        _await_quiet(darkroom, recoveries)
        verdict.judge_jobs(darkroom, wishes)
        verdict.judge_slots(darkroom)
    _await_end(token)
    verdict.judge_processes(token)
    show(verdict, faults.struck, recoveries.seconds, seed, minutes)
    sys.exit(0 if verdict.good else 1)


@contextmanager
def _darkroom(token: str) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="dr-chaos-") as name, hostile_site.serving(MANNERS) as address:
        (Path(name) / f"{SITE}.toml").write_text(hostile_site.recipe(address))
        environment = {
            MARK: token,
            "SITE": SITE,
            "RECIPES_DIR": name,
            "RESULT_TTL_S": "86400",
            "DRAIN_GRACE_S": "4",
            "WORKER_CONCURRENCY": "4",
            "LOG_LEVEL": "error",
        }
        with stack("web", "clock", "courier", *WORKERS, relayed=True, **environment) as darkroom:
            yield darkroom


def _under_fire(darkroom: Stack, faults: Faults, recoveries: Recoveries, seconds: float, *, say: bool) -> None:
    began = time.monotonic()
    next_fault = began + faults.pause_s()
    while (now := time.monotonic()) < began + seconds:
        if now >= next_fault:
            recoveries.before_fault()
            name = faults.strike()
            next_fault = now + faults.pause_s()
            if say:
                click.echo(f"{now - began:7.1f} s  {name}")
        _tick(darkroom, recoveries)
    faults.end()


def _wishes_of(callers: list[Caller], darkroom: Stack, recoveries: Recoveries) -> list[Wish]:
    """What they wanted, once the last of it is answered."""
    for caller in callers:
        caller.stop()
    while any(caller.is_busy for caller in callers):
        _tick(darkroom, recoveries)
    return [wish for caller in callers for wish in caller.wishes]


def _callers(darkroom: Stack, seed: int, rate: float) -> list[Caller]:
    url = darkroom.settings.public_url
    callers = []
    for number in range(CALLERS):
        key = darkroom.stores.keys.create(f"caller {number}")
        owner = darkroom.stores.keys.caller(key)
        if owner:
            callers.append(Caller(url, key, owner.id, seed + number, CALLERS / rate))
    for caller in callers:
        caller.start()
    return callers


def _tick(darkroom: Stack, recoveries: Recoveries) -> None:
    darkroom.supervisor.mend()
    recoveries.look()
    time.sleep(TICK_S)


def _await_quiet(darkroom: Stack, recoveries: Recoveries) -> None:
    """Until every job has ended and every worker is idle, or for so long that what has not ended is stuck."""
    deadline = time.monotonic() + QUIET_WITHIN_S
    while time.monotonic() < deadline:
        _tick(darkroom, recoveries)
        with contextlib.suppress(Unavailable):
            fleet = darkroom.stores.fleet.alive()
            idle = len(fleet) == len(WORKERS) and not any(one.jobs or one.contexts for one in fleet)
            if idle and not darkroom.stores.upkeep.accepted_before(sys.maxsize):
                return


def _await_end(token: str) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    os.environ.pop(MARK, None)
    while processes_of(token) and time.monotonic() < deadline:
        time.sleep(TICK_S)
