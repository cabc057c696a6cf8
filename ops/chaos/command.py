"""The command ``chaos``: load and faults for some minutes, then quiet, then the consistency check."""

import contextlib
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import click
import psutil

from ops.chaos.clients import ExpectedImage, SubmittingClient
from ops.chaos.faults import OTHER_ROLES, Faults
from ops.chaos.recoveries import Recoveries
from ops.chaos.verdict import TOKEN_VARIABLE, Verdict, find_processes, show
from ops.infra.logging import configure_logging
from ops.testbed import hostile_site
from ops.testbed.small_disk import Disk, FileSizeLimits, mount_small_disk
from ops.testbed.stack import Stack, run_stack
from schemas.errors import Unavailable

WORKERS = ["worker.1", "worker.2"]
CLIENTS = 4
TICK_S = 0.1
QUIET_TIMEOUT_S = 180.0
EXIT_TIMEOUT_S = 60.0
DISK_BYTES = 256 * 1024 * 1024
SITE = "hostile"
BEHAVIOR = hostile_site.SiteBehavior(min_s=0.3, max_s=2.5, outage_rate=0.02, refusal_rate=0.03)


@click.command()
@click.option(
    "--minutes", type=click.FloatRange(0.1, 600), default=5.0, show_default=True, help="Duration of the load."
)
@click.option("--seed", type=int, default=None, help="Repeat the submissions and faults of an earlier run.")
@click.option("--rate", type=click.FloatRange(0.1, 20), default=1.5, show_default=True, help="Jobs per second.")
@click.option("--verbose", is_flag=True, help="Print every fault.")
def chaos(minutes: float, seed: int | None, rate: float, verbose: bool) -> None:
    """Inject faults under load, and check that no job is lost, run twice or given a wrong image.

    Processes are killed, paused and stopped, clocks are set wrong, the disk is filled (really if this user is root, by
    limits of web and background otherwise), and pages flood their browsers.
    """
    configure_logging("chaos", level="error")
    seed = random.randrange(10_000) if seed is None else seed
    token = secrets.token_hex(8)
    verdict = Verdict()
    with _darkroom(token) as (stack, disk, site_url):
        faults = Faults(stack, WORKERS, seed, disk, urljoin(site_url, hostile_site.FLOOD_PATH))
        recoveries = Recoveries(stack)
        clients = _start_clients(stack, seed, rate)
        _inject_faults(stack, faults, recoveries, minutes * 60, verbose=verbose)
        expected_images = _collect_expected_images(clients, stack, recoveries)
        _await_quiet(stack, recoveries)
        verdict.judge_jobs(stack, expected_images)
        verdict.judge_slots(stack)
    _await_exit(token)
    verdict.judge_processes(token)
    show(verdict, faults.counts, recoveries.seconds, seed, minutes)
    sys.exit(0 if verdict.is_good else 1)


@contextmanager
def _darkroom(token: str) -> Iterator[tuple[Stack, Disk, str]]:
    with (
        tempfile.TemporaryDirectory(prefix="dr-chaos-") as folder,
        mount_small_disk(DISK_BYTES, prefix="dr-chaos-disk-") as disk,
        hostile_site.running_site(BEHAVIOR) as url,
    ):
        (Path(folder) / f"{SITE}.toml").write_text(hostile_site.recipe(url))
        environment = {
            TOKEN_VARIABLE: token,
            "SITE": SITE,
            "RECIPES_DIR": folder,
            "RESULT_TTL_S": "86400",
            "DRAIN_GRACE_S": "4",
            "WORKER_CONCURRENCY": "4",
            "LOG_LEVEL": "error",
        }
        data_dir = disk.folder if disk else None
        with run_stack(
            *OTHER_ROLES,
            *WORKERS,
            use_relay=True,
            redis_servers=1,
            data_dir=data_dir,
            settable_clocks=True,
            **environment,
        ) as stack:
            yield stack, disk or FileSizeLimits(partial(_find_limited_processes, stack)), url


def _find_limited_processes(stack: Stack) -> list[psutil.Process]:
    parents = [psutil.Process(stack.supervisor.pid(name)) for name in ("web", "background")]
    return [process for parent in parents for process in (parent, *parent.children(recursive=True))]


def _inject_faults(stack: Stack, faults: Faults, recoveries: Recoveries, seconds: float, *, verbose: bool) -> None:
    started_at = time.monotonic()
    next_fault = started_at + faults.next_delay_s()
    while (now := time.monotonic()) < started_at + seconds:
        if now >= next_fault:
            recoveries.record_running_jobs()
            name = faults.inject()
            next_fault = now + faults.next_delay_s()
            if verbose:
                click.echo(f"{now - started_at:7.1f} s  {name}")
        _tick(stack, recoveries)
    faults.resume_all()


def _collect_expected_images(
    clients: list[SubmittingClient], stack: Stack, recoveries: Recoveries
) -> list[ExpectedImage]:
    """Stop the clients, wait for their last responses, and return what they submitted."""
    for client in clients:
        client.stop()
    while any(client.is_busy for client in clients):
        _tick(stack, recoveries)
    return [expected for client in clients for expected in client.expected_images]


def _start_clients(stack: Stack, seed: int, rate: float) -> list[SubmittingClient]:
    url = stack.settings.public_url
    clients = []
    for number in range(CLIENTS):
        key = stack.stores.api_keys.create(f"client {number}")
        owner = stack.stores.api_keys.authenticate(key)
        if owner:
            clients.append(SubmittingClient(url, key, owner.id, seed + number, CLIENTS / rate))
    for client in clients:
        client.start()
    return clients


def _tick(stack: Stack, recoveries: Recoveries) -> None:
    stack.supervisor.restart_dead()
    recoveries.update()
    time.sleep(TICK_S)


def _await_quiet(stack: Stack, recoveries: Recoveries) -> None:
    """Wait until every job has ended and every worker is idle; after the timeout, the remaining jobs count as stuck."""
    deadline = time.monotonic() + QUIET_TIMEOUT_S
    while time.monotonic() < deadline:
        _tick(stack, recoveries)
        with contextlib.suppress(Unavailable):
            workers = stack.stores.workers.list_alive()
            is_idle = len(workers) == len(WORKERS) and not any(worker.jobs or worker.contexts for worker in workers)
            if is_idle and not stack.stores.maintenance.list_open():
                return


def _await_exit(token: str) -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT_S
    os.environ.pop(TOKEN_VARIABLE, None)
    while find_processes(token) and time.monotonic() < deadline:
        time.sleep(TICK_S)
