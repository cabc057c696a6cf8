"""Interruption of running attempts: cancellation, shutdown, lost leases."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import replace

import pytest

from schemas.errors import Cancelled, LeaseLost, ServiceError, Unavailable, WorkerStopping
from schemas.jobs.job import Job, JobRequest
from schemas.jobs.lifecycle import JobState
from tests.conftest import TIMEOUT_S
from workers.jobs.attempt import Attempt
from workers.jobs.attempt_registry import AttemptRegistry


class FakeLeases:
    """Renews leases with a prepared answer: whether the job was cancelled, or an error."""

    def __init__(self, answer: bool | ServiceError) -> None:
        self.answer = answer

    def renew(self, _job: Job) -> bool:
        """Return or raise the answer."""
        if isinstance(self.answer, ServiceError):
            raise self.answer
        return self.answer


def make_job(cancel_requested_at: int | None = None, attempt: int = 1) -> Job:
    """Return a job that has just been claimed."""
    request = JobRequest("studio", "a lake")
    job = Job("a" * 32, "owner", JobState.STARTING, request, "r1", 0, 0, 1, cancel_requested_at=cancel_requested_at)
    return replace(job, attempt=attempt, claim_token=f"token {attempt}")


def interruption_of(
    act: Callable[[AttemptRegistry], Awaitable[object]] | None = None,
    *,
    leases: FakeLeases | None = None,
    before: Callable[[AttemptRegistry], object] | None = None,
    job: Job | None = None,
) -> ServiceError | None:
    """Track an attempt, run ``act`` beside it, and return the error by which the attempt was interrupted."""

    async def execute(registry: AttemptRegistry, started: asyncio.Event) -> Attempt:
        with registry.track(job or make_job()) as attempt:
            started.set()
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                assert attempt.interruption
            attempt.close()
            assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr] # inside a task
            assert len(registry) == 1
            return attempt

    async def run() -> ServiceError | None:
        registry = AttemptRegistry(leases or FakeLeases(answer=False))  # type: ignore[arg-type] # only renew() is called
        if before:
            before(registry)
        started = asyncio.Event()
        task = asyncio.create_task(execute(registry, started))
        await started.wait()
        if act:
            await act(registry)
        async with asyncio.timeout(TIMEOUT_S):
            attempt = await task
        assert len(registry) == 0
        return attempt.interruption

    return asyncio.run(run())


async def cancel(registry: AttemptRegistry) -> None:
    """Request the job's cancellation."""
    registry.cancel("a" * 32)


async def release(registry: AttemptRegistry) -> None:
    """Stop the worker."""
    registry.release_all()


def test_an_undisturbed_attempt_is_not_interrupted() -> None:
    """Renewals that succeed leave it alone."""
    assert interruption_of(lambda registry: registry.renew_all()) is None


@pytest.mark.parametrize(("act", "error"), [(cancel, Cancelled), (release, WorkerStopping)])
def test_requests_interrupt_the_attempt(
    act: Callable[[AttemptRegistry], Awaitable[object]], error: type[ServiceError]
) -> None:
    """The error of the interruption says why."""
    assert isinstance(interruption_of(act), error)


@pytest.mark.parametrize(
    ("answer", "error"), [(True, Cancelled), (LeaseLost(), LeaseLost), (Unavailable(), type(None))]
)
def test_renewals_find_cancellations_and_lost_leases(answer: bool | ServiceError, error: type[object]) -> None:
    """An outage of Redis interrupts nothing."""
    assert isinstance(interruption_of(lambda registry: registry.renew_all(), leases=FakeLeases(answer)), error)


def test_requests_before_tracking_are_not_lost() -> None:
    """Cancellation and shutdown may arrive between the claim and the start of the attempt."""
    assert isinstance(interruption_of(before=lambda registry: registry.cancel("a" * 32)), Cancelled)
    assert isinstance(interruption_of(before=lambda registry: registry.release_all()), WorkerStopping)
    assert isinstance(interruption_of(job=make_job(cancel_requested_at=1)), Cancelled)


def test_the_first_interruption_wins_and_late_ones_are_ignored() -> None:
    """An attempt that has ended is not cancelled any more."""

    async def run() -> Attempt:
        attempt = Attempt(make_job())
        attempt.interrupt(Cancelled())
        attempt.interrupt(WorkerStopping())
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        attempt.close()
        attempt.close()
        late = Attempt(make_job())
        late.close()
        late.interrupt(Cancelled())
        await asyncio.sleep(0)
        assert late.interruption is None
        return attempt

    assert isinstance(asyncio.run(run()).interruption, Cancelled)


@pytest.mark.parametrize("first_ends", [True, False])
def test_two_attempts_at_one_job_are_distinguished(first_ends: bool) -> None:
    """A worker claims a job again while its first attempt, whose lease is lost, still ends; either may end first."""

    async def run() -> None:
        registry = AttemptRegistry(FakeLeases(answer=False))  # type: ignore[arg-type] # only renew() is called
        with ExitStack() as first, ExitStack() as second:
            attempts = [
                stack.enter_context(registry.track(make_job(attempt=number)))
                for number, stack in enumerate((first, second), start=1)
            ]
            assert len(registry) == 2
            (first if first_ends else second).close()
            assert len(registry) == 1
            registry.cancel("a" * 32)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(0)
            remaining = attempts[1 if first_ends else 0]
            assert isinstance(remaining.interruption, Cancelled)
            remaining.close()
        assert len(registry) == 0

    asyncio.run(run())


def test_a_cancellation_reaches_the_attempt_that_is_being_claimed() -> None:
    """It also reaches the earlier attempt at the same job."""

    async def run() -> tuple[ServiceError | None, ...]:
        registry = AttemptRegistry(FakeLeases(answer=False))  # type: ignore[arg-type] # only renew() is called
        found = []
        with registry.track(make_job(attempt=1)) as first:
            registry.cancel("a" * 32)
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(0)
            with registry.track(make_job(attempt=2)) as second, contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
            found = [first.interruption, second.interruption]
        return tuple(found)

    assert [type(error) for error in asyncio.run(run())] == [Cancelled, Cancelled]


def test_a_lost_browser_waits_for_the_news_that_the_worker_stops() -> None:
    """A signal to all processes of a worker may kill the browser before the worker has handled it."""

    async def run() -> None:
        registry = AttemptRegistry(FakeLeases(answer=False))  # type: ignore[arg-type] # only renew() is called
        judging = asyncio.create_task(registry.wait_for_draining())
        await asyncio.sleep(0)
        assert not judging.done()
        registry.begin_draining()
        assert await judging
        assert registry.is_draining
        assert await registry.wait_for_draining()

    asyncio.run(run())
