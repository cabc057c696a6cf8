"""Processes that die, stop or are sent away at the worst moments, and the jobs that they had in hand."""

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

from ops.infra.redis import connect
from ops.processes.embedded_redis import SOCKET_NAME
from ops.testbed import hostile_site, marked_images
from ops.testbed.stack import Stack
from schemas.jobs.lifecycle import JobState
from tests.conftest import eventually
from tests.support.killing import (
    KillOnCommand,
    assert_completed_once,
    await_end,
    event_types,
    eventually_with_restarts,
    run_hostile_darkroom,
    script_sha,
    submit,
)


@pytest.fixture(scope="module")
def one_worker() -> Iterator[Stack]:
    """With a single worker, which is started again when it dies."""
    with run_hostile_darkroom("worker") as running:
        yield running


def wait_for_the_worker(running: Stack) -> None:
    """Until exactly the one that runs now is known."""
    pid = running.supervisor.pid("worker")
    eventually_with_restarts(
        running, lambda: any(f":{pid}:" in one.id and one.ready for one in running.stores.workers.list_alive())
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "moment",
    [
        "claim",  # claimed, and nothing else
        "accept",  # the page is open and has taken the prompt
        "note",  # pending
        "complete",  # the picture is stored, the job not finished
    ],
)
def test_a_worker_killed_at_each_transition_loses_nothing(one_worker: Stack, moment: str) -> None:
    """The next attempt ends the job, once, with its own picture."""
    wait_for_the_worker(one_worker)
    # The server knows the script from now on: its first call would only be told that it does not.
    assert one_worker.stores.attempts.claim("nobody") is None
    with connect(f"unix://{one_worker.settings.data_dir / SOCKET_NAME}?db=0") as direct:

        def job_is_there() -> bool:
            return bool(direct.zcard("dr:open"))

        words = script_sha(one_worker, moment)
        trap = KillOnCommand(one_worker, "worker", words, when=job_is_there, passes=moment == "claim")
        job_id, nonce = submit(one_worker)
        eventually(lambda: trap.triggered)
    job = assert_completed_once(one_worker, job_id, nonce)
    assert job.attempt == 2
    assert "retried" in event_types(one_worker, job_id)


@pytest.mark.timeout(180)
def test_a_worker_killed_before_its_acknowledgement_does_nothing_twice(one_worker: Stack) -> None:
    """The job has ended; the message that comes back finds nothing to do."""
    wait_for_the_worker(one_worker)
    with connect(f"unix://{one_worker.settings.data_dir / SOCKET_NAME}?db=0") as direct:
        before = ended_so_far(direct)
        # Other messages are acknowledged too: the trap is for the one whose job has just ended.
        trap = KillOnCommand(
            one_worker,
            "worker",
            b"$3\r\nack\r\n",
            when=lambda: ended_so_far(direct) > before,
        )
        job_id, nonce = submit(one_worker)
        eventually(lambda: trap.triggered)
    job = assert_completed_once(one_worker, job_id, nonce)
    assert job.attempt == 1

    queue = one_worker.stores.queue
    wait_for_the_worker(one_worker)
    eventually_with_restarts(one_worker, lambda: not queue.client.exists(f"{queue.wakeups_key}.msgs"))
    assert one_worker.stores.jobs.get(job_id) == job


def ended_so_far(direct: Redis) -> int:
    """How many jobs have ended, asked without the relay."""
    counts: Any = direct.hvals("dr:ended")
    return sum(int(number) for number in counts)


@pytest.mark.timeout(180)
def test_a_front_killed_between_record_and_ticket_loses_nothing(one_worker: Stack) -> None:
    """The client has no answer, and the job is made nevertheless; sent again with its key it is the same job."""
    wait_for_the_worker(one_worker)
    trap = KillOnCommand(one_worker, "web", b"$7\r\nenqueue\r\n")
    nonce = secrets.randbits(32)
    body = {"prompt": "a lighthouse at dusk", "inputs": {"seed": nonce}}
    with one_worker.client() as client:
        headers = {"Idempotency-Key": f"key-{nonce}"}

        def answer() -> Any:
            try:
                return client.post("/api/v1/jobs", json=body, headers=headers)
            except httpx.HTTPError:
                return None

        assert answer() is None
        assert trap.triggered
        again = eventually_with_restarts(one_worker, answer)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert_completed_once(one_worker, again.json()["id"], nonce)


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Stack]:
    """With two workers."""
    with run_hostile_darkroom("worker.1", "worker.2", DRAIN_GRACE_S="20") as running:
        yield running


def holder(running: Stack, job_id: str) -> psutil.Process:
    """The process that holds the job."""
    owner = running.stores.maintenance.get_lease_owner(job_id)
    assert owner
    return psutil.Process(int(owner.split(":")[-2]))


@pytest.mark.timeout(180)
def test_a_paused_worker_writes_nothing_after_it_lost_its_lease(two_workers: Stack) -> None:
    """Another ends the job; when the first goes on nothing changes, and its context is closed."""
    job_id, nonce = submit(two_workers)
    eventually(lambda: running_state(two_workers, job_id) is JobState.PENDING)
    paused = holder(two_workers, job_id)
    paused.suspend()
    try:
        job = assert_completed_once(two_workers, job_id, nonce)
        assert job.attempt == 2
        before = (two_workers.redis.hgetall(f"dr:{{{job_id}}}:job"), event_types(two_workers, job_id))
    finally:
        paused.resume()

    def idle_again() -> bool:
        alive = {one.id.split(":")[-2]: one for one in two_workers.stores.workers.list_alive()}
        status = alive.get(str(paused.pid))
        return status is not None and status.jobs == status.contexts == 0

    eventually(idle_again)
    assert (two_workers.redis.hgetall(f"dr:{{{job_id}}}:job"), event_types(two_workers, job_id)) == before
    assert marked_images.read(two_workers.stores.results.get_original(job_id) or b"") is not None


def running_state(running: Stack, job_id: str) -> JobState:
    """Where the job is."""
    return running.stores.jobs.get(job_id).state


@pytest.mark.timeout(240)
def test_a_rolling_restart_under_load_loses_and_delays_nothing(two_workers: Stack) -> None:
    """Workers that are sent away finish what they have; what waits goes to the other; no delivery is wasted."""
    wishes = [submit(two_workers) for _ in range(24)]
    for name in ("worker.1", "worker.2"):
        eventually(two_workers.stores.maintenance.list_running)
        restart(two_workers, name)

    for job_id, nonce in wishes:
        job = assert_completed_once(two_workers, job_id, nonce)
        assert (job.attempt, job.deliveries) == (1, 1)


def restart(running: Stack, name: str) -> None:
    """Send a worker away in good order, and wait until its successor is ready."""
    old = running.supervisor.pid(name)
    os.kill(old, signal.SIGTERM)
    eventually_with_restarts(running, lambda: running.supervisor.pid(name) != old)
    pid = running.supervisor.pid(name)
    eventually_with_restarts(
        running, lambda: any(f":{pid}:" in one.id and one.ready for one in running.stores.workers.list_alive())
    )


@pytest.mark.timeout(180)
def test_a_worker_out_of_grace_gives_its_job_back_uncounted() -> None:
    """The job waits again at the head of the line, as if it had never been delivered, and is done by the next."""
    with run_hostile_darkroom("worker", manners=hostile_site.SiteBehavior(6.0, 6.0), DRAIN_GRACE_S="1") as running:
        first, nonce = submit(running)
        second, _ = submit(running, priority=10)
        eventually(lambda: running_state(running, first) is JobState.PENDING)
        third, _ = submit(running, priority=10)
        os.kill(running.supervisor.pid("worker"), signal.SIGTERM)
        eventually(lambda: not running.stores.maintenance.list_running())
        job, outlook = running.stores.jobs.get_with_estimate(first)

        assert (job.state, job.deliveries, outlook.position in (1, 2)) == (JobState.QUEUED, 0, True)
        assert running.stores.jobs.get_with_estimate(third)[1].position == 3
        assert assert_completed_once(running, first, nonce).attempt == 2
        assert await_end(running, second).state is JobState.COMPLETED


@pytest.mark.timeout(180)
def test_a_sites_limits_hold_over_all_workers() -> None:
    """Two workers with four slots: never two jobs at once, never two starts within the pause."""
    with run_hostile_darkroom(
        "worker.1", "worker.2", manners=hostile_site.SiteBehavior(0.3, 0.6), at_once=1, pause_s=1.0
    ) as running:
        wishes = [submit(running) for _ in range(6)]
        jobs = sorted((assert_completed_once(running, *wish) for wish in wishes), key=lambda job: job.started_at or 0)

    starts = [job.started_at or 0 for job in jobs]
    ends = [job.finished_at or 0 for job in jobs]
    assert all(later - earlier >= 1000 for earlier, later in itertools.pairwise(starts))
    assert all(start >= end for start, end in zip(starts[1:], ends, strict=False))
