"""A worker and a clock of several Redis servers: the real queue, claims and sweeps, and no browser."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial
from typing import Any, cast

import pytest
from dramatiq import Worker, actor
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import AsyncIO

from ops.infra.broker import BlockingRedisBroker, HeartbeatThread
from schemas.errors import Unavailable
from schemas.jobs.job import GeneratedImage
from schemas.jobs.lifecycle import JobState
from schemas.messages import GENERATE, GENERATE_QUEUE
from stores import Stores
from stores.queue.worker_heartbeats import WorkerStatus
from tests.conftest import TIMEOUT_S, eventually
from tests.integration.shards.conftest import Installation
from workers.browsers.pool import BrowserPool
from workers.clock.allotting import INTERVAL_S
from workers.clock.sweeper import BusyServers, Sweeper
from workers.jobs.attempt import Attempt, Completed, Outcome
from workers.jobs.attempt_registry import AttemptRegistry
from workers.jobs.runner import OUTAGE_TIMEOUT_S, Runner
from workers.jobs.slot_pool import SlotPool

SLOTS = 2
IMAGE = GeneratedImage(b"png bytes", "image/png", 64, 64)


class NoBrowser:
    """A pool whose browser is always there."""

    is_ready = True

    async def ensure_browser(self) -> None:
        """Nothing is to be done."""


class QuickRunner(Runner):
    """Claims and ends jobs as a worker does; its page makes every picture at once, unless it is held."""

    def __init__(self, stores: Stores, slots: SlotPool, running: list[str], held: threading.Event) -> None:
        self.attempts = AttemptRegistry(stores.attempts)
        super().__init__(stores, cast(BrowserPool, NoBrowser()), self.attempts, "w", slots)
        self._running, self._held = running, held

    async def _run_with_deadline(self, attempt: Attempt, _open_page: AsyncExitStack) -> Outcome:
        self._running.append(attempt.job.id)
        assert len(self._running) <= SLOTS
        attempts = self._stores.attempts
        await asyncio.to_thread(self._held.wait)
        self._running.remove(attempt.job.id)
        await self._retry_while_unavailable(attempts.mark_accepted, attempt.job)
        keys = await self._retry_while_unavailable(attempts.store_images, attempt.job, [IMAGE], b"jpeg")
        return Completed([IMAGE], keys, {})


@contextmanager
def worker_and_clock(installation: Installation, go_on: threading.Event) -> Iterator[list[str]]:
    """Run a worker, and the sweeps of a clock; yields the jobs that run."""
    stop, running, busy = threading.Event(), list[str](), BusyServers()
    pool, servers = SlotPool(SLOTS), installation.stores.servers.members
    with ExitStack() as stack:
        for number, stores in enumerate(servers):
            url = stores.settings.redis_servers[number].broker_url
            broker = BlockingRedisBroker(url, [] if number else [AsyncIO()])
            broker.fetch_limits[GENERATE_QUEUE] = pool.await_free
            runner = QuickRunner(stores, pool, running, go_on)

            @actor(broker=broker, actor_name=GENERATE, queue_name=GENERATE_QUEUE)
            async def generate(runner: Runner = runner) -> None:
                await runner.run()

            worker, heartbeat = (
                Worker(broker, worker_threads=SLOTS),
                HeartbeatThread(broker, frozenset({GENERATE_QUEUE})),
            )
            worker.queue_prefetch = SLOTS
            worker.start()
            heartbeat.start()
            stack.callback(heartbeat.stop)
            stack.callback(worker.stop)
        runs: list[Any] = [Sweeper(stores, busy=busy).run for stores in servers]
        runs.append(partial(divide_repeatedly, installation))
        threads = [threading.Thread(target=run, args=(stop,)) for run in runs]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(stop.set)
        stack.callback(go_on.set)
        for stores in servers:
            status = WorkerStatus(
                "w", ready=True, browser="", browser_restarts=0, contexts=0, slots=SLOTS, jobs=0, memory_bytes=0
            )
            stores.workers.record_heartbeat(status)
        yield running


def divide_repeatedly(installation: Installation, stop: threading.Event) -> None:
    """Divide the limits as the clock does."""
    while not stop.wait(INTERVAL_S):
        installation.allotter.divide()


def submit(installation: Installation, number: int, jobs: int) -> list[str]:
    """Submit jobs by the caller of a server."""
    return [installation.submit(number).json["id"] for _ in range(jobs)]


def are_done(installation: Installation, number: int, ids: list[str]) -> bool:
    """Whether all of a caller's jobs are done."""
    return all(installation.get(number, f"/api/v1/jobs/{job_id}").json["status"] == "COMPLETED" for job_id in ids)


def test_a_worker_runs_the_jobs_of_every_server(installation: Installation) -> None:
    """Its slots are shared by turns, and it goes on with the others' jobs when one server is killed."""
    go_on = threading.Event()
    go_on.set()
    with worker_and_clock(installation, go_on) as running:
        ids = [submit(installation, number, 3) for number in (0, 1)]
        for number in (0, 1):
            eventually(lambda number=number: are_done(installation, number, ids[number]))

        # Both have more jobs than the worker has slots: each server has one of them.
        go_on.clear()
        first = submit(installation, 0, 4)
        eventually(lambda: len(running) == SLOTS)
        second = submit(installation, 1, 4)
        go_on.set()
        eventually(lambda: are_done(installation, 1, second) and are_done(installation, 0, first))

        waiting = submit(installation, 0, 2)
        eventually(lambda: are_done(installation, 0, waiting))
        go_on.clear()
        lost = submit(installation, 0, 2)
        eventually(lambda: len(running) == SLOTS)
        installation.processes[0].kill()
        go_on.set()
        # The results of the killed server's jobs cannot be stored, and hold no slot.
        others = submit(installation, 1, 3)
        eventually(lambda: are_done(installation, 1, others))

        installation.processes[0].start()
        eventually(lambda: are_done(installation, 0, lost))
        after = submit(installation, 0, 2)
        eventually(lambda: are_done(installation, 0, after))
    assert get_event_loop_thread() is None


def test_a_claim_of_a_server_that_stalls_is_kept(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its slot serves others meanwhile; the job that the server has claimed in the end is run."""
    monkeypatch.setattr("workers.jobs.runner.SHARED_CLAIM_TIMEOUT_S", 0.05)
    stores, pool, go_on = installation.stores.servers.members[0], SlotPool(1), threading.Event()
    go_on.set()
    job_id = installation.create(0)
    process = installation.processes[0].process
    assert process

    async def stall() -> None:
        process.send_signal(signal.SIGSTOP)
        try:
            run = asyncio.create_task(QuickRunner(stores, pool, [], go_on).run())
            await asyncio.sleep(0)
            assert pool.await_free(0) == 0
            assert await asyncio.to_thread(pool.await_free, 10) == 1
        finally:
            process.send_signal(signal.SIGCONT)
        await run

    asyncio.run(stall())
    assert installation.of(0).jobs.get(job_id).state is JobState.COMPLETED


def test_a_worker_that_stops_waits_for_no_server(installation: Installation) -> None:
    """A claim that a server has not answered ends with the stop, as far as it has claimed nothing."""
    stores, pool = installation.stores.servers.members[0], SlotPool(1)
    runner = QuickRunner(stores, pool, [], threading.Event())
    installation.processes[0].kill()

    async def stop() -> None:
        run = asyncio.create_task(runner.run())
        await asyncio.sleep(0)
        # The slot comes back when the first call has failed.
        assert await asyncio.to_thread(pool.await_free, TIMEOUT_S) == 1
        runner.attempts.begin_draining()
        # Much less than the time for which a claim is repeated.
        await asyncio.wait_for(run, OUTAGE_TIMEOUT_S / 2)

    asyncio.run(stop())


def test_a_worker_that_stops_gives_back_what_it_has_claimed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that stalls has claimed a job for it, and answers again: the job waits, and nothing is counted."""
    stores, go_on = installation.stores.servers.members[0], threading.Event()
    go_on.set()
    runner = QuickRunner(stores, SlotPool(1), [], go_on)
    job_id, claim = installation.create(0), stores.attempts.claim

    async def stop() -> None:
        loop = asyncio.get_running_loop()

        def claim_without_reply(*arguments: str) -> None:
            monkeypatch.setattr(stores.attempts, "claim", claim)
            assert claim(*arguments)
            loop.call_soon_threadsafe(runner.attempts.begin_draining)
            raise Unavailable("Redis does not answer.")

        monkeypatch.setattr(stores.attempts, "claim", claim_without_reply)
        await asyncio.wait_for(runner.run(), TIMEOUT_S)

    asyncio.run(stop())
    job = installation.of(0).jobs.get(job_id)
    assert (job.state, job.deliveries, job.retries) == (JobState.QUEUED, 0, 0)


def test_slots_are_taken_in_turn() -> None:
    """Nobody who waits is passed by, and a slot comes back once however often it is released."""
    pool, order = SlotPool(1), list[int]()

    async def use(number: int) -> None:
        async with pool.take() as slot:
            order.append(number)
            await asyncio.sleep(0)
            slot.release()
            slot.release()

    async def use_all() -> None:
        await asyncio.gather(*(use(number) for number in range(4)))

    asyncio.run(use_all())
    assert order == [0, 1, 2, 3]
    assert pool.await_free(0) == 1
