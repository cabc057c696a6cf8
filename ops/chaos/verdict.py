"""The judgement of the chaos: what became of every wish, what was left behind, how fast it recovered."""

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

TOKEN_VARIABLE = "DARKROOM_CHAOS"  # noqa: S105 - the name of a variable
TERMINAL = (b"completed", b"failed")


@dataclass(slots=True)
class Verdict:
    """What the chaos found. All of ``lost`` to ``left`` must be 0."""

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
        """Whether nothing was lost, doubled, mixed up or left behind."""
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
        """Look at every job that was accepted."""
        self.submitted = len(expected_images)
        for wish in expected_images:
            if wish.job_id:
                self.accepted += 1
                self._judge_job(stack, wish.job_id, wish.nonce)
        for owner in {wish.owner for wish in expected_images}:
            promised = sum(1 for wish in expected_images if wish.owner == owner and wish.job_id)
            unanswered = sum(1 for wish in expected_images if wish.owner == owner and not wish.job_id)
            made = int(stack.redis.zcard(f"dr:jobs:{owner}"))
            self.duplicated += max(0, made - promised - unanswered)

    def _judge_job(self, stack: Stack, job_id: str, nonce: int) -> None:
        try:
            job = stack.stores.jobs.get(job_id)
        except (NotFound, Gone):
            self.lost += 1
            self.notes.append(f"{job_id} is lost")
            return
        log = cast(list[tuple[bytes, dict[bytes, bytes]]], stack.redis.xrange(f"dr:{{{job_id}}}:events"))
        times = sum(entry[b"type"] in TERMINAL for _, entry in log)
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
        if [one and one[0] for one in carried] != [nonce, nonce]:
            self.wrong_image += 1
            self.notes.append(f"{job_id} should carry {nonce}, and carries {carried}")

    def judge_slots(self, stack: Stack) -> None:
        """Look for what nobody holds any more and is held nevertheless."""
        for worker in stack.stores.workers.list_alive():
            self.slots_leaked += worker.jobs + worker.contexts
        for key in ("dr:leases", "dr:due", *stack.redis.keys("dr:leases:*"), *stack.redis.keys("dr:turns:*")):
            self.slots_leaked += int(stack.redis.zcard(key))
        if self.slots_leaked:
            self.notes.append(f"workers at the end: {stack.stores.workers.list_alive()}")

    def judge_processes(self, token: str) -> None:
        """Look for processes of this chaos that still run."""
        left = find_processes(token)
        self.processes_left = len(left)
        self.notes += [f"still runs: {process}" for process in left]


def find_processes(token: str) -> list[psutil.Process]:
    """Every process that was started with this chaos' token in its environment, but this one."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(TOKEN_VARIABLE) == token and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            continue
        if marked and process.pid != os.getpid():
            found.append(process)
    return found


def show(verdict: Verdict, faults: Counter[str], recoveries_s: list[float], seed: int, minutes: float) -> None:
    """Print the verdict as a table and as JSON."""
    table = Table("", "", title=f"chaos, {minutes:g} min, seed {seed}")
    figures = asdict(verdict) | {"failed": dict(verdict.failed)}
    notes = figures.pop("notes")
    for name, value in figures.items():
        shown = ", ".join(f"{code} {times}" for code, times in value.items()) if name == "failed" else str(value)
        table.add_row(name.replace("_", " "), shown or "0")
    recovery = {f"p{percent}": percentile(recoveries_s, percent) for percent in (50, 95, 100)} if recoveries_s else {}
    table.add_row("recoveries", str(len(recoveries_s)))
    table.add_row("recovery, p50 / p95 / max", " / ".join(f"{value:.1f} s" for value in recovery.values()))
    table.add_row("faults", ", ".join(f"{name} {times}" for name, times in faults.most_common()))
    Console(width=120).print(table)
    for note in notes[:20]:
        click.echo(note)
    found = figures | {"recoveries": len(recoveries_s), "recovery_s": recovery, "faults": dict(faults)}
    click.echo(json.dumps({"chaos": found, "minutes": minutes, "seed": seed, "good": verdict.is_good}))
