"""No sequence of calls makes a transition that the table does not have."""

import contextlib

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from ops.infra.redis import connect
from ops.infra.settings import Settings
from schemas.errors import BrowserLost, LeaseLost, QueueWaitExceeded, SiteRefused
from schemas.jobs.job import GeneratedImage, Job, JobRequest, Progress
from schemas.jobs.lifecycle import JobState, can_transition
from tests.conftest import FakeClock
from tests.contract.conftest import RedisStores, build_stores

RUNNING = (JobState.STARTING, JobState.PENDING)
IMAGE = GeneratedImage(b"x", "image/png", 1, 1)
CALLS = (
    "claim",
    "accept",
    "progress",
    "preview",
    "store_images",
    "complete",
    "fail",
    "retry",
    "release",
    "renew",
    "requeue",
    "requeue_dead",
    "cancel",
    "expire",
    "later",
    "use_old_attempt",
)


class RandomCalls:
    """One job, and calls on it in any order."""

    def __init__(self, stores: RedisStores, clock: FakeClock) -> None:
        self.jobs = stores.jobs
        self.attempts_store = stores.attempts
        self.upkeep = stores.maintenance
        self.wakeups = stores.wakeups
        self.redis = stores.redis
        self.clock = clock
        self.id = "a" * 32
        self.redis.flushdb()
        self.jobs.create(self.id, "owner", JobRequest("studio", "x"), "r")
        self.attempts: list[Job] = [self.jobs.get(self.id)]
        self.job = self.attempts[0]

    def call(self, name: str) -> None:
        """Make one call; LeaseLost is an accepted outcome."""
        job = self.job
        calls = {
            "claim": self.claim,
            "accept": lambda: self.attempts_store.mark_accepted(job),
            "progress": lambda: self.attempts_store.record_progress(job, Progress(1.0)),
            "preview": lambda: self.attempts_store.record_preview(job, b"x"),
            "store_images": lambda: self.attempts_store.store_images(job, [IMAGE], b"x"),
            "complete": lambda: self.attempts_store.complete(job, [IMAGE], ()),
            "fail": lambda: self.attempts_store.fail(job, SiteRefused()),
            "retry": lambda: self.attempts_store.retry(job, BrowserLost(), 1000),
            "release": lambda: self.attempts_store.release(job, BrowserLost()),
            "renew": lambda: self.attempts_store.renew(job),
            "requeue": lambda: self.upkeep.requeue_expired(self.id),
            "requeue_dead": lambda: self.upkeep.requeue_expired(self.id, "w"),
            "cancel": lambda: self.jobs.cancel(self.id),
            "expire": lambda: self.upkeep.expire(self.id, 0, QueueWaitExceeded()),
            "later": self.later,
            "use_old_attempt": self.use_old_attempt,
        }
        with contextlib.suppress(LeaseLost):
            calls[name]()

    def claim(self) -> None:
        """Start a new attempt, if there is a job to claim."""
        if claimed := self.attempts_store.claim("w"):
            self.attempts.append(claimed)
            self.job = claimed

    def later(self) -> None:
        """Let time pass and make due jobs claimable."""
        self.clock.advance(20)
        self.wakeups.top_up()

    def use_old_attempt(self) -> None:
        """Continue as the first attempt."""
        self.job = self.attempts[0]


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(calls=st.lists(st.sampled_from(CALLS), max_size=40))
def test_no_sequence_of_calls_leaves_the_transition_table(
    calls: list[str], settings: Settings, clock: FakeClock
) -> None:
    """Each call makes at most one transition; final states stay; each job ends once."""
    client: Redis = connect(settings.redis_url)
    calls_on_job = RandomCalls(build_stores(client, clock, settings), clock)
    state = JobState.QUEUED
    for call in calls:
        calls_on_job.call(call)
        now = calls_on_job.jobs.get(calls_on_job.id).state
        assert now is state or can_transition(state, now), f"{call}: {state} to {now}"
        state = now

    kinds = [entry[b"type"] for _, entry in client.xrange(f"dr:{{{calls_on_job.id}}}:events")]
    assert int(state.is_final) == sum(kind in (b"completed", b"failed") for kind in kinds)
    assert int(not state.is_final) == client.zcard("dr:open")
    # A job is in exactly one index: leased, claimable, or not yet due.
    places = (client.zcard("dr:leases"), client.zcard("dr:ready:studio|owner"), client.zcard("dr:due"))
    assert places == (int(state in RUNNING), *((0, 0) if state is not JobState.QUEUED else places[1:]))
    assert sum(places) == int(not state.is_final)
    assert client.zcard("dr:leases:studio") == client.zcard("dr:leases")
    assert client.exists("dr:turns:studio") == client.exists("dr:ready:studio|owner")
    client.close()
