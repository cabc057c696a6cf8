"""The consistency check after fault injection: the fate of every submission, leaked resources, recovery times."""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import cast

import click
import psutil
from rich.console import Console
from rich.table import Table

from ops.chaos.clients import ExpectedImage
from ops.testbed import marked_images
from ops.testbed.stack import Stack
from ops.testbed.statistics import percentile
from schemas.errors import Gone, NotFound
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from stores.redis.keys import DUE_JOBS, LEASES, job_key, owner_jobs_key, site_leases_key, turns_key

TOKEN_VARIABLE = "DARKROOM_CHAOS"  # noqa: S105 - the name of a variable
FINAL_EVENTS = (b"completed", b"failed")
MAX_NOTES = 20


@dataclass(slots=True)
class Verdict:
    """Counts of outcomes and of violations; every count from ``lost`` to ``processes_left`` must be 0.

    ``duplicated`` counts jobs beyond one per submission, ``slots_leaked`` leases, queue entries and browser contexts
    without a job.
    """

    submitted: int = 0
    accepted: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    ended_twice: int = 0
    duplicated: int = 0
    wrong_image: int = 0
    stuck: int = 0
    slots_leaked: int = 0
    processes_left: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether there is no violation."""
        return not any(
            (
                self.lost,
                self.ended_twice,
                self.duplicated,
                self.wrong_image,
                self.stuck,
                self.slots_leaked,
                self.processes_left,
            )
        )

    def judge_jobs(self, stack: Stack, expected_images: list[ExpectedImage]) -> None:
        """Check every accepted job, and the number of jobs of each owner."""
        self.submitted = len(expected_images)
        for expected in expected_images:
            if expected.job_id:
                self.accepted += 1
                self._judge_job(stack, expected.job_id, expected.nonce)
        # An unanswered submission may have created a job or not; it allows for one.
        submitted = Counter(expected.owner for expected in expected_images)
        for owner, number in submitted.items():
            self.duplicated += max(0, int(stack.redis.zcard(owner_jobs_key(owner))) - number)

    def _judge_job(self, stack: Stack, job_id: str, nonce: int) -> None:
        try:
            job = stack.stores.jobs.get(job_id)
        except (NotFound, Gone):
            self.lost += 1
            self.notes.append(f"{job_id} is lost")
            return
        log = cast(list[tuple[bytes, dict[bytes, bytes]]], stack.redis.xrange(job_key(job_id, "events")))
        times = sum(entry[b"type"] in FINAL_EVENTS for _, entry in log)
        if times > 1:
            self.ended_twice += 1
            self.notes.append(f"{job_id} ended {times} times")
        if not job.state.is_final:
            self.stuck += 1
            self.notes.append(f"{job_id} is still {job.state}")
        elif job.state is JobState.FAILED:
            self._judge_failure(job)
        else:
            self.completed += 1
            self._judge_images(stack, job_id, nonce)

    def _judge_failure(self, job: Job) -> None:
        if job.error:
            self.failed[job.error.code] += 1

    def _judge_images(self, stack: Stack, job_id: str, nonce: int) -> None:
        results = stack.stores.results
        carried = [
            marked_images.read(data or b"")
            for data in (results.get_original(job_id), results.get_converted(job_id, "jpg"))
        ]
        if [mark and mark[0] for mark in carried] != [nonce, nonce]:
            self.wrong_image += 1
            self.notes.append(f"{job_id} should carry {nonce}, but carries {carried}")

    def judge_slots(self, stack: Stack) -> None:
        """Count slots, contexts, leases and queue entries that are still held when all jobs have ended."""
        for worker in stack.stores.workers.list_alive():
            self.slots_leaked += worker.jobs + worker.contexts
        by_site = [key for pattern in (site_leases_key("*"), turns_key("*")) for key in stack.redis.keys(pattern)]
        for key in (LEASES, DUE_JOBS, *by_site):
            self.slots_leaked += int(stack.redis.zcard(key))
        if self.slots_leaked:
            self.notes.append(f"workers at the end: {stack.stores.workers.list_alive()}")

    def judge_processes(self, token: str) -> None:
        """Count processes of this run that are still alive."""
        left = find_processes(token)
        self.processes_left = len(left)
        self.notes += [f"still running: {process}" for process in left]


def find_processes(token: str) -> list[psutil.Process]:
    """Return the processes, except this one, that were started with the token of this run in their environment."""
    processes = []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get(TOKEN_VARIABLE) == token and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            continue
        if is_ours and process.pid != os.getpid():
            processes.append(process)
    return processes


def show(verdict: Verdict, faults: Counter[str], recoveries_s: list[float], seed: int, minutes: float) -> None:
    """Print the verdict as a table and as JSON."""
    table = Table("", "", title=f"chaos, {minutes:g} min, seed {seed}")
    figures = asdict(verdict) | {"failed": dict(verdict.failed)}
    notes = figures.pop("notes")
    for name, value in figures.items():
        text = ", ".join(f"{code} {times}" for code, times in value.items()) if name == "failed" else str(value)
        table.add_row(name.replace("_", " "), text or "0")
    recovery = {f"p{percent}": percentile(recoveries_s, percent) for percent in (50, 95, 100)} if recoveries_s else {}
    table.add_row("recoveries", str(len(recoveries_s)))
    table.add_row("recovery, p50 / p95 / max", " / ".join(f"{value:.1f} s" for value in recovery.values()))
    table.add_row("faults", ", ".join(f"{name} {times}" for name, times in faults.most_common()))
    Console(width=120).print(table)
    for note in notes[:MAX_NOTES]:
        click.echo(note)
    result = figures | {"recoveries": len(recoveries_s), "recovery_s": recovery, "faults": dict(faults)}
    click.echo(json.dumps({"chaos": result, "minutes": minutes, "seed": seed, "good": verdict.is_good}))
