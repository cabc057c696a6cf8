"""Processes that are killed, paused or restarted at critical moments lose no job and finish none twice."""

import contextlib
import itertools
import os
import secrets
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from redis import Redis

from ops.testbed import hostile_site, marked_images
from ops.testbed.stack import Stack, kill_tree
from schemas.jobs.lifecycle import JobState
from stores.redis.keys import ENDED_COUNTS, OPEN_JOBS, job_key
from tests.conftest import eventually
from tests.support.killing import (
    RECOVERY_TIMEOUT_S,
    KillOnCommand,
    ack_sha,
    assert_completed_once,
    await_end,
    connect_without_relay,
    event_types,
    eventually_with_restarts,
    run_hostile_darkroom,
    script_sha,
    submit,
)


@pytest.fixture(scope="module")
def one_worker() -> Iterator[Stack]:
    """A Darkroom with one worker, which is restarted when it dies."""
    with run_hostile_darkroom("worker") as stack:
        # The worker's first claim only finds that the limits of the sites must be published.
        job_id, nonce = submit(stack)
        assert_completed_once(stack, job_id, nonce)
        yield stack


def await_worker(stack: Stack, name: str = "worker") -> None:
    """Wait until the current process of a worker is ready."""
    pid = stack.supervisor.pid(name)
    eventually_with_restarts(
        stack, lambda: any(f":{pid}:" in worker.id and worker.ready for worker in stack.stores.workers.list_alive())
    )


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "script",
    [
        "claim",  # the job is claimed, nothing else has happened
        "mark_accepted",  # the page is open and has accepted the prompt
        "record_progress",  # the job is PENDING
        "complete",  # the image is stored, the job is not finished
    ],
)
def test_a_worker_killed_at_a_transition_loses_no_job(one_worker: Stack, script: str) -> None:
    """The second attempt completes the job once, with its own image."""
    await_worker(one_worker)
    # Loads the script into Redis: an unknown script would be sent a second time.
    assert one_worker.stores.attempts.claim("nobody") is None
    with connect_without_relay(one_worker) as direct:

        def is_submitted() -> bool:
            return bool(direct.zcard(OPEN_JOBS))

        sha = script_sha(one_worker, script)
        kill = KillOnCommand(one_worker, "worker", sha, when=is_submitted, forward=script == "claim")
        job_id, nonce = submit(one_worker)
        eventually(lambda: kill.triggered)
    job = assert_completed_once(one_worker, job_id, nonce)
    assert job.attempt == 2
    assert "retried" in event_types(one_worker, job_id)


@pytest.mark.timeout(400)
def test_a_worker_killed_before_its_ack_repeats_nothing(one_worker: Stack) -> None:
    """The redelivered message of a finished job is dropped."""
    await_worker(one_worker)
    with connect_without_relay(one_worker) as direct:
        before = count_ended(direct)
        # Other messages are acknowledged too: kill only at the ack that follows the end of a job.
        kill = KillOnCommand(one_worker, "worker", ack_sha(one_worker), when=lambda: count_ended(direct) > before)
        job_id, nonce = submit(one_worker)
        eventually(lambda: kill.triggered)
    job = assert_completed_once(one_worker, job_id, nonce)
    assert job.attempt == 1

    queue = one_worker.stores.queue
    await_worker(one_worker)
    eventually_with_restarts(one_worker, lambda: not queue.client.exists(f"{queue.wakeups_key}.msgs"))
    assert one_worker.stores.jobs.get(job_id) == job


def count_ended(direct: Redis) -> int:
    """Return the number of ended jobs."""
    counts: Any = direct.hvals(ENDED_COUNTS)
    return sum(int(number) for number in counts)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("arrives", [True, False])
def test_a_web_process_killed_at_a_submission_loses_no_job(one_worker: Stack, arrives: bool) -> None:
    """The client gets no response; a retry with the same idempotency key returns the job, or makes it, once."""
    # The first submission of all loads the script instead of calling it.
    assert_completed_once(one_worker, *submit(one_worker))
    kill = KillOnCommand(one_worker, "web", script_sha(one_worker, "create"), forward=arrives)
    nonce = secrets.randbits(32)
    body = {"prompt": "a lighthouse at dusk", "inputs": {"seed": nonce}}
    with one_worker.client() as client:
        headers = {"Idempotency-Key": f"key-{nonce}"}

        def post() -> Any:
            try:
                return client.post("/api/v1/jobs", json=body, headers=headers)
            except httpx.HTTPError:
                return None

        assert post() is None
        assert kill.triggered
        response = eventually_with_restarts(one_worker, post)
    assert response.headers.get("Idempotent-Replayed") == ("true" if arrives else None)
    assert_completed_once(one_worker, response.json()["id"], nonce)


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Stack]:
    """A Darkroom with two workers."""
    with run_hostile_darkroom("worker.1", "worker.2", DRAIN_GRACE_S="90") as stack:
        yield stack


def lease_holder(stack: Stack, job_id: str) -> psutil.Process:
    """Return the process that holds a job's lease."""
    owner = stack.stores.maintenance.get_lease_owner(job_id)
    assert owner
    return psutil.Process(int(owner.split(":")[-2]))


def state(stack: Stack, job_id: str) -> JobState:
    """Return a job's state."""
    return stack.stores.jobs.get(job_id).state


@pytest.mark.timeout(400)
def test_a_resumed_worker_writes_nothing_without_its_lease(two_workers: Stack) -> None:
    """A worker is paused, the other one completes its job; once resumed it changes nothing and closes its context."""
    job_id, nonce, paused = pause_during_a_job(two_workers)

    def record() -> tuple[Any, list[str]]:
        return two_workers.redis.hgetall(job_key(job_id, "job")), event_types(two_workers, job_id)

    try:
        job = assert_completed_once(two_workers, job_id, nonce)
        assert job.attempt == 2
        before = record()
    finally:
        paused.resume()

    def is_idle() -> bool:
        workers = {worker.id.split(":")[-2]: worker for worker in two_workers.stores.workers.list_alive()}
        status = workers.get(str(paused.pid))
        return status is not None and status.jobs == status.contexts == 0

    eventually(is_idle)
    assert record() == before
    assert marked_images.read(two_workers.stores.results.get_original(job_id) or b"") is not None


def pause_during_a_job(stack: Stack) -> tuple[str, int, psutil.Process]:
    """Pause a worker while it holds a job whose page is at work; return the job's id and number, and the worker."""
    while True:
        job_id, nonce = submit(stack)
        eventually(lambda job_id=job_id: state(stack, job_id) is not JobState.QUEUED)
        if owner := stack.stores.maintenance.get_lease_owner(job_id):
            holder = psutil.Process(int(owner.split(":")[-2]))
            eventually(lambda job_id=job_id: state(stack, job_id) is not JobState.STARTING)
            holder.suspend()
            is_paused = False
            try:
                # On a busy machine the job may have ended meanwhile.
                is_paused = state(stack, job_id) is JobState.PENDING
            finally:
                if not is_paused:
                    holder.resume()
            if is_paused:
                return job_id, nonce, holder
        assert_completed_once(stack, job_id, nonce)


@pytest.mark.timeout(400)
def test_a_job_that_takes_down_two_workers_ends() -> None:
    """It fails as soon as the second worker is lost, does not go round the fleet, and the next job runs."""
    behavior = hostile_site.SiteBehavior(6.0, 6.0)
    with run_hostile_darkroom("worker.1", "worker.2", behavior=behavior) as stack:
        job_id, _ = submit(stack)
        for attempt in (1, 2):
            eventually_with_restarts(
                stack, lambda number=attempt: is_pending(stack, job_id, number), timeout_s=RECOVERY_TIMEOUT_S
            )
            kill_tree(lease_holder(stack, job_id).pid)
        job = await_end(stack, job_id)
        assert (job.error and job.error.code, job.attempt, job.retries) == ("worker_lost", 2, 0)
        assert_completed_once(stack, *submit(stack))


def is_pending(stack: Stack, job_id: str, attempt: int) -> bool:
    """Whether that attempt at a job has its prompt on the page."""
    job = stack.stores.jobs.get(job_id)
    return (job.state, job.attempt) == (JobState.PENDING, attempt)


@pytest.mark.timeout(400)
def test_a_rolling_restart_under_load_loses_no_job(two_workers: Stack) -> None:
    """Draining workers finish their jobs, queued jobs go to the other worker, and no attempt is wasted."""
    jobs = []
    for name in ("worker.1", "worker.2"):
        # Submitted before each restart: on a slow machine a restart takes longer than all jobs.
        jobs += [submit(two_workers) for _ in range(12)]
        eventually(two_workers.stores.maintenance.list_running)
        restart(two_workers, name)

    for job_id, nonce in jobs:
        job = assert_completed_once(two_workers, job_id, nonce)
        assert (job.attempt, job.deliveries) == (1, 1)


def restart(stack: Stack, name: str) -> None:
    """Stop a worker with SIGTERM and wait until its successor is ready."""
    pid = stack.supervisor.pid(name)
    os.kill(pid, signal.SIGTERM)
    eventually_with_restarts(stack, lambda: stack.supervisor.pid(name) != pid)
    await_worker(stack, name)


@pytest.mark.timeout(400)
def test_a_worker_out_of_grace_releases_its_job_uncounted() -> None:
    """The job returns to the head of the queue, its delivery is not counted, and the next worker completes it."""
    behavior = hostile_site.SiteBehavior(6.0, 6.0)
    with run_hostile_darkroom("worker", behavior=behavior, DRAIN_GRACE_S="1") as stack:
        first, nonce = submit(stack)
        second, _ = submit(stack, priority=10)
        eventually(lambda: state(stack, first) is JobState.PENDING)
        third, _ = submit(stack, priority=10)
        os.kill(stack.supervisor.pid("worker"), signal.SIGTERM)
        eventually(lambda: not stack.stores.maintenance.list_running())
        job, estimate = stack.stores.jobs.get_with_estimate(first)

        assert (job.state, job.deliveries, estimate.position in (1, 2)) == (JobState.QUEUED, 0, True)
        assert stack.stores.jobs.get_with_estimate(third)[1].position == 3
        assert assert_completed_once(stack, first, nonce).attempt == 2
        assert await_end(stack, second).state is JobState.COMPLETED


@pytest.mark.timeout(400)
@pytest.mark.parametrize("order", ["worker first", "worker last"])
def test_a_signal_to_all_processes_of_a_worker_is_an_uncounted_release(order: str) -> None:
    """Platforms send SIGTERM to the browser together with the worker; its jobs lose neither a retry nor a delivery."""
    behavior = hostile_site.SiteBehavior(4.0, 4.0)
    with run_hostile_darkroom("worker", behavior=behavior) as stack:
        jobs = [submit(stack) for _ in range(2)]
        for _ in range(2):
            eventually_with_restarts(
                stack, lambda: all(state(stack, job_id) is JobState.PENDING for job_id, _ in jobs), timeout_s=60
            )
            signal_tree(stack.supervisor.pid("worker"), order)
            eventually(lambda: not stack.stores.maintenance.list_running())
            counts = [stack.stores.jobs.get(job_id) for job_id, _ in jobs]
            assert [(job.state, job.retries, job.deliveries) for job in counts] == [(JobState.QUEUED, 0, 0)] * 2
        for job_id, nonce in jobs:
            assert assert_completed_once(stack, job_id, nonce).attempt == 3


def signal_tree(pid: int, order: str) -> None:
    """Send SIGTERM to a process and all its descendants, with the process itself first or last."""
    worker = psutil.Process(pid)
    processes = [worker, *worker.children(recursive=True)]
    for process in processes if order == "worker first" else reversed(processes):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()


@pytest.mark.timeout(400)
def test_site_limits_hold_across_workers() -> None:
    """Two workers with two slots each run one job at a time and keep the minimum interval between starts."""
    behavior = hostile_site.SiteBehavior(0.3, 0.6)
    with run_hostile_darkroom("worker.1", "worker.2", behavior=behavior, concurrency=1, min_interval_s=1.0) as stack:
        submitted = [submit(stack) for _ in range(6)]
        jobs = sorted((assert_completed_once(stack, *job) for job in submitted), key=lambda job: job.started_at or 0)

    starts = [job.started_at or 0 for job in jobs]
    ends = [job.finished_at or 0 for job in jobs]
    assert all(later - earlier >= 1000 for earlier, later in itertools.pairwise(starts))
    assert all(start >= end for start, end in zip(starts[1:], ends, strict=False))
