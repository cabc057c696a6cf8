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

from ops.chaos.clients import ExpectedImage, SubmittingClient
from ops.chaos.faults import Faults
from ops.chaos.recoveries import Recoveries
from ops.chaos.verdict import TOKEN_VARIABLE, Verdict, find_processes, show
from ops.testbed import hostile_site
from ops.testbed.stack import Stack, run_stack
from schemas.errors import Unavailable

WORKERS = ["worker.1", "worker.2"]
CLIENTS = 4
TICK_S = 0.1
QUIET_TIMEOUT_S = 180.0
EXIT_TIMEOUT_S = 15.0
SITE = "hostile"
BEHAVIOR = hostile_site.SiteBehavior(min_s=0.3, max_s=2.5, outage_rate=0.02, refusal_rate=0.03)


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
        callers = _start_clients(darkroom, seed, rate)
        _inject_faults(darkroom, faults, recoveries, minutes * 60, say=verbose)
        wishes = _collect_expected_images(callers, darkroom, recoveries)
        _await_quiet(darkroom, recoveries)
        verdict.judge_jobs(darkroom, wishes)
        verdict.judge_slots(darkroom)
    _await_exit(token)
    verdict.judge_processes(token)
    show(verdict, faults.counts, recoveries.seconds, seed, minutes)
    sys.exit(0 if verdict.is_good else 1)


@contextmanager
def _darkroom(token: str) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="dr-chaos-") as name, hostile_site.running_site(BEHAVIOR) as address:
        (Path(name) / f"{SITE}.toml").write_text(hostile_site.recipe(address))
        environment = {
            TOKEN_VARIABLE: token,
            "SITE": SITE,
            "RECIPES_DIR": name,
            "RESULT_TTL_S": "86400",
            "DRAIN_GRACE_S": "4",
            "WORKER_CONCURRENCY": "4",
            "LOG_LEVEL": "error",
        }
        with run_stack("web", "clock", "courier", *WORKERS, use_relay=True, **environment) as darkroom:
            yield darkroom


def _inject_faults(darkroom: Stack, faults: Faults, recoveries: Recoveries, seconds: float, *, say: bool) -> None:
    began = time.monotonic()
    next_fault = began + faults.next_delay_s()
    while (now := time.monotonic()) < began + seconds:
        if now >= next_fault:
            recoveries.record_running_jobs()
            name = faults.inject()
            next_fault = now + faults.next_delay_s()
            if say:
                click.echo(f"{now - began:7.1f} s  {name}")
        _tick(darkroom, recoveries)
    faults.resume_all()


def _collect_expected_images(
    callers: list[SubmittingClient], darkroom: Stack, recoveries: Recoveries
) -> list[ExpectedImage]:
    """What they wanted, once the last of it is answered."""
    for caller in callers:
        caller.stop()
    while any(caller.is_busy for caller in callers):
        _tick(darkroom, recoveries)
    return [wish for caller in callers for wish in caller.expected_images]


def _start_clients(darkroom: Stack, seed: int, rate: float) -> list[SubmittingClient]:
    url = darkroom.settings.public_url
    callers = []
    for number in range(CLIENTS):
        key = darkroom.stores.api_keys.create(f"caller {number}")
        owner = darkroom.stores.api_keys.authenticate(key)
        if owner:
            callers.append(SubmittingClient(url, key, owner.id, seed + number, CLIENTS / rate))
    for caller in callers:
        caller.start()
    return callers


def _tick(darkroom: Stack, recoveries: Recoveries) -> None:
    darkroom.supervisor.restart_dead()
    recoveries.update()
    time.sleep(TICK_S)


def _await_quiet(darkroom: Stack, recoveries: Recoveries) -> None:
    """Until every job has ended and every worker is idle, or for so long that what has not ended is stuck."""
    deadline = time.monotonic() + QUIET_TIMEOUT_S
    while time.monotonic() < deadline:
        _tick(darkroom, recoveries)
        with contextlib.suppress(Unavailable):
            fleet = darkroom.stores.workers.list_alive()
            idle = len(fleet) == len(WORKERS) and not any(one.jobs or one.contexts for one in fleet)
            if idle and not darkroom.stores.maintenance.list_open_before(sys.maxsize):
                return


def _await_exit(token: str) -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT_S
    os.environ.pop(TOKEN_VARIABLE, None)
    while find_processes(token) and time.monotonic() < deadline:
        time.sleep(TICK_S)
