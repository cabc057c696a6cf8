"""The queue behaves as a plain model of it, over random sequences of calls.

The model is what the rules say and nothing else: lists, and a look at every job, owner and site for each question. The
scripts answer the same questions from indexes.
"""

import itertools
import math
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ops.infra.redis import connect
from ops.infra.settings import Settings
from schemas.accounts.caller import CallerLimits
from schemas.errors import BrowserLost, QueueWaitExceeded, ServiceError, SiteChanged
from schemas.jobs.job import GeneratedImage, Job, JobRequest
from schemas.sites.recipe import SiteLimits
from stores.jobs.attempts import LEASE_MS, MAX_DELIVERIES
from stores.sites import scheduling_rules
from stores.sites.recipes import Recipes
from tests.conftest import FakeClock
from tests.contract.conftest import RedisStores, build_stores

DAY_MS = 86_400_000
MAX_WAIT_S = 500
IMAGE = GeneratedImage(b"x", "image/png", 1, 1)
OWNERS = ("ann", "bob", "cleo", "dan")
SITES = {
    "free": SiteLimits(concurrency=0, min_interval_s=0.0, daily=0),
    "narrow": SiteLimits(concurrency=1, min_interval_s=0.0, daily=0),
    "slow": SiteLimits(concurrency=2, min_interval_s=5.0, daily=0),
    "scarce": SiteLimits(concurrency=0, min_interval_s=0.0, daily=3),
}
STUDIO = Recipes("studio").default
RECIPES = tuple(replace(STUDIO, name=name, limits=limits) for name, limits in SITES.items())
# Keys that another version does not have.
INDEXES = ("places", "weights", "positions", "shares", "claimable", "heads", "resting", "circuits", "repair")


@dataclass
class ModelJob:
    """A job as the model knows it; ``due`` is None unless it waits for a retry."""

    id: str
    owner: str
    site: str
    priority: int
    start: int
    queued_at: int
    state: str = "QUEUED"
    first: bool = False
    due: int | None = None
    deliveries: int = 0
    lease_until: int = 0
    cancelled: bool = False

    def score(self) -> tuple[int, str]:
        """Order among the owner's jobs at one site."""
        return (self.start - 10**15 if self.first else self.start - self.priority * 10**13), self.id


@dataclass
class ModelSite:
    """What is known about a site."""

    failures: int = 0
    retry_at: int | None = None
    delay: int = 0
    canary: str | None = None
    next_at: int = 0
    starts: dict[int, int] = field(default_factory=dict)


class Model:
    """The queue, in plain lists."""

    def __init__(self) -> None:
        self.jobs: dict[str, ModelJob] = {}
        self.sites = {name: ModelSite() for name in SITES}
        self.limits: dict[str, int | None] = {}
        self.positions: dict[str, int] = {}
        self.turn = 0

    def ready(self, owner: str, site: str | None = None) -> list[ModelJob]:
        """Claimable jobs of an owner, in the order of their claims."""
        jobs = [job for job in self.jobs.values() if job.state == "QUEUED" and job.due is None]
        return sorted((job for job in jobs if job.owner == owner and site in (None, job.site)), key=ModelJob.score)

    def running(self, **fields: str) -> list[ModelJob]:
        """Running jobs with these fields."""
        found = [job for job in self.jobs.values() if job.state == "RUNNING"]
        return [job for job in found if all(getattr(job, name) == value for name, value in fields.items())]

    def room(self, owner: str) -> float:
        """How many more jobs of the owner may start."""
        limit = self.limits.get(owner)
        return math.inf if limit is None else max(0, limit - len(self.running(owner=owner)))

    def make_claimable(self, job: ModelJob, *, first: bool = False) -> None:
        """Put a job among its owner's claimable ones."""
        job.due, job.first = None, first
        if job.owner not in self.positions:
            self.turn += 0 if first else 1
            self.positions[job.owner] = self.turn
        if first:
            self.positions[job.owner] = 0

    def settle(self) -> None:
        """Owners without claimable jobs lose their turn."""
        self.positions = {owner: place for owner, place in self.positions.items() if self.ready(owner)}

    def is_blocked(self, name: str, now: int) -> bool:
        """Whether no job of the site may start."""
        site, limits = self.sites[name], SITES[name]
        if site.retry_at is not None:
            canary = self.jobs.get(site.canary or "")
            if now < site.retry_at or (canary and canary.state == "RUNNING"):
                return True
        if limits.concurrency and len(self.running(site=name)) >= limits.concurrency:
            return True
        return now < site.next_at or bool(limits.daily and site.starts.get(now // DAY_MS, 0) >= limits.daily)

    def claim(self, now: int) -> ModelJob | None:
        """Start the next job."""
        while True:
            choices = []
            for name in SITES:
                owners = [owner for owner in self.positions if self.ready(owner, name) and self.room(owner) > 0]
                if owners and not self.is_blocked(name, now):
                    owner = min(owners, key=lambda each: (self.positions[each], each))
                    job = self.ready(owner, name)[0]
                    choices.append((self.positions[owner], job.score()[0], job))
            if not choices:
                return None
            job = min(choices, key=lambda choice: choice[:2])[2]
            self.turn += 1
            self.positions[job.owner] = self.turn
            if job.deliveries < MAX_DELIVERIES:
                self.start(job, now)
                self.settle()
                return job
            job.state = "ENDED"
            self.settle()

    def start(self, job: ModelJob, now: int) -> None:
        """Begin an attempt."""
        site, limits = self.sites[job.site], SITES[job.site]
        job.state, job.lease_until, job.first = "RUNNING", now + LEASE_MS, False
        job.deliveries += 1
        if site.retry_at is not None:
            site.canary = job.id
        if limits.min_interval_s:
            site.next_at = now + round(limits.min_interval_s * 1000)
        site.starts[now // DAY_MS] = site.starts.get(now // DAY_MS, 0) + 1

    def give_back(self, job: ModelJob, now: int, due: int, *, first: bool) -> None:
        """End an attempt without a result."""
        if job.cancelled:
            job.state = "ENDED"
            return
        job.state, job.queued_at = "QUEUED", due
        if due > now:
            job.due = due
        else:
            self.make_claimable(job, first=first)

    def record(self, job: ModelJob, *, works: bool, now: int) -> None:
        """What the end of an attempt says about its site."""
        site = self.sites[job.site]
        if works:
            site.failures, site.retry_at, site.canary = 0, None, None
            return
        site.failures += 1
        if site.retry_at is not None and site.canary != job.id:
            return
        if site.retry_at is None and site.failures < 5:
            return
        site.delay = 30_000 if site.retry_at is None else min(2 * site.delay, 600_000)
        site.retry_at, site.canary = now + site.delay, None

    def claimable(self, now: int) -> int:
        """How many wakeups there should be."""
        total = 0
        for name, limits in SITES.items():
            owners = [owner for owner in self.positions if self.ready(owner, name)]
            jobs = sum(min(len(self.ready(owner, name)), self.room(owner)) for owner in owners)
            if limits.concurrency:
                jobs = min(jobs, limits.concurrency - len(self.running(site=name)))
            if limits.min_interval_s or self.sites[name].retry_at is not None:
                jobs = min(jobs, 1)
            total += 0 if self.is_blocked(name, now) else int(jobs)
        return total

    def position(self, job: ModelJob) -> int:
        """The place of a waiting job, as documented."""
        counted = [name for name in SITES if name == job.site or self.sites[name].retry_at is None]

        def waiting(owner: str) -> list[ModelJob]:
            return [each for name in counted for each in self.ready(owner, name)]

        own = sum(each.score()[0] < job.score()[0] for each in waiting(job.owner))
        mine = self.positions.get(job.owner, math.inf)
        others = [owner for owner in self.positions if owner != job.owner]
        return own + 1 + sum(min(len(waiting(each)), own + (self.positions[each] < mine)) for each in others)


class Pair:
    """The scripts and the model, side by side."""

    def __init__(self, stores: RedisStores, clock: FakeClock) -> None:
        self.stores, self.clock, self.model = stores, clock, Model()
        self.ids = (f"{number:032x}" for number in itertools.count(1))
        self.attempts: list[Job] = []
        self.stores.redis.flushdb()

    def create(self, owner: str, site: str, priority: int, limit: int | None) -> None:
        """Submit a job, with the limit that its key has now."""
        self.clock.advance(0.001)
        job_id, now = next(self.ids), self.clock.now_ms()
        request = JobRequest(site, "x", priority=priority)
        self.stores.jobs.create(job_id, owner, request, "r", limits=CallerLimits(concurrent=limit))
        self.model.limits[owner] = limit
        self.model.jobs[job_id] = job = ModelJob(job_id, owner, site, priority, now, now)
        self.model.make_claimable(job)

    def claim(self) -> None:
        """Both must choose the same job."""
        job = self.stores.attempts.claim("w")
        expected = self.model.claim(self.clock.now_ms())
        assert (job and job.id) == (expected and expected.id)
        if job:
            self.attempts.append(job)

    def end(self, how: str, number: int) -> None:
        """End one of the running attempts."""
        if not self.attempts:
            return
        job = self.attempts.pop(number % len(self.attempts))
        mine, now = self.model.jobs[job.id], self.clock.now_ms()
        if how == "complete":
            self.stores.attempts.mark_accepted(job)
            keys = self.stores.attempts.store_images(job, [IMAGE], b"x")
            self.stores.attempts.complete(job, [IMAGE], keys)
            mine.state = "ENDED"
            self.model.record(mine, works=True, now=now)
        elif how == "fail":
            self.stores.attempts.fail(job, SiteChanged())
            mine.state = "ENDED"
            self.model.record(mine, works=False, now=now)
        else:
            self._give_back(how, job, mine, now)
        self.model.settle()

    def _give_back(self, how: str, job: Job, mine: ModelJob, now: int) -> None:
        error: ServiceError = SiteChanged() if how == "break" else BrowserLost()
        if how == "release":
            self.stores.attempts.release(job, error)
        else:
            self.stores.attempts.retry(job, error, 2000)
        mine.deliveries -= 1
        if how == "break":
            self.model.record(mine, works=False, now=now)
        self.model.give_back(mine, now, now if how == "release" else now + 2000, first=how == "release")

    def cancel(self, number: int) -> None:
        """Cancel one of the unfinished jobs."""
        unfinished = [job for job in self.model.jobs.values() if job.state != "ENDED"]
        if unfinished:
            job = unfinished[number % len(unfinished)]
            self.stores.jobs.cancel(job.id)
            job.cancelled, job.state = True, "RUNNING" if job.state == "RUNNING" else "ENDED"
            self.model.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def sweep(self) -> None:
        """Take back what has lost its lease, and end what has waited too long."""
        error, now = QueueWaitExceeded(), self.clock.now_ms()
        swept = self.stores.maintenance.sweep(leases=True, heartbeats=False, max_wait_s=MAX_WAIT_S, error=error)
        lost = sorted((job for job in self.model.running() if job.lease_until <= now), key=lambda job: job.id)
        assert sorted(swept.taken_back) == [job.id for job in lost]
        self.attempts = [attempt for attempt in self.attempts if attempt.id not in swept.taken_back]
        for job_id in swept.taken_back:
            job = self.model.jobs[job_id]
            if job.deliveries >= MAX_DELIVERIES and not job.cancelled:
                job.state = "ENDED"
            else:
                self.model.give_back(job, now, now, first=True)
        for job in self.model.jobs.values():
            if job.state == "QUEUED" and job.queued_at <= now - MAX_WAIT_S * 1000:
                job.state = "ENDED"
        self.model.settle()

    def count(self) -> None:
        """Both must want the same number of wakeups; jobs that are due become claimable."""
        now = self.clock.now_ms()
        due = [job for job in self.model.jobs.values() if job.state == "QUEUED" and job.due and job.due <= now]
        for job in sorted(due, key=lambda job: (job.due or 0, job.id)):
            self.model.make_claimable(job)
        assert self.stores.wakeups.count_claimable() == self.model.claimable(now)

    def forget_indexes(self) -> None:
        """Leave what an earlier version leaves, and repair it."""
        redis = self.stores.redis
        redis.delete(*(f"dr:{name}" for name in INDEXES))
        for name in SITES:
            for owner, position in self.model.positions.items():
                if self.model.ready(owner, name):
                    redis.zadd(f"dr:turns:{name}", {owner: position})
        while not self.stores.maintenance.repair():
            pass

    def check_positions(self) -> None:
        """Every waiting job has the place that the model gives it."""
        waiting = [job for job in self.model.jobs.values() if job.state == "QUEUED"]
        for job in waiting:
            estimate = self.stores.jobs.get_with_estimate(job.id)[1]
            assert (estimate.position, estimate.position_is_estimate) == (self.model.position(job), False), job


CALLS: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(
        st.just("create"),
        st.sampled_from(OWNERS),
        st.sampled_from([*SITES, "free"]),
        st.sampled_from([0, 0, 5, -5]),
        st.sampled_from([None, None, 1, 2]),
    ),
    st.just(("claim",)),
    st.just(("claim",)),
    st.tuples(st.just("end"), st.sampled_from(["complete", "fail", "retry", "break", "release"]), st.integers(0, 9)),
    st.tuples(st.just("cancel"), st.integers(0, 99)),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 3.0, 31.0, 40.0, 600.0])),
    st.just(("sweep",)),
    st.just(("count",)),
    st.just(("forget_indexes",)),
    st.just(("check_positions",)),
)


@pytest.fixture
def steady_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between starts that the model can foresee."""
    monkeypatch.setattr(scheduling_rules, "random", SimpleNamespace(uniform=lambda low, _: low))


@hypothesis_settings(
    max_examples=35, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(calls=st.lists(CALLS, min_size=30, max_size=100))
def test_the_queue_does_what_the_model_does(
    calls: list[tuple[Any, ...]], settings: Settings, clock: FakeClock, steady_pauses: None
) -> None:
    """Claims, wakeups and positions agree, whatever is cancelled, lost, retried, expired, limited or repaired."""
    client = connect(settings.redis_url)
    pair = Pair(build_stores(client, clock, settings, extra_recipes=RECIPES), clock)
    for name, *arguments in calls:
        getattr(pair, name)(*arguments)
    pair.count()
    pair.check_positions()
    for _ in range(len(pair.model.jobs)):
        pair.claim()
    client.close()


def test_far_positions_are_about_right(settings: Settings, clock: FakeClock) -> None:
    """With 130 callers: exact up to 100 and for each caller's first job, and within a quarter for all others."""
    client = connect(settings.redis_url)
    pair = Pair(build_stores(client, clock, settings, extra_recipes=RECIPES), clock)
    for number in range(130):
        for _ in range(1 + 7 * (number % 10 == 0) + 12 * (number % 50 == 0)):
            pair.create(f"caller-{number}", "free", 0, None)
    estimates = 0
    for job in list(pair.model.jobs.values())[::4]:
        estimate, expected = pair.stores.jobs.get_with_estimate(job.id)[1], pair.model.position(job)
        position = estimate.position or 0
        estimates += estimate.position_is_estimate
        assert position == expected or (estimate.position_is_estimate and expected > 100), job
        assert abs(position - expected) <= expected / 4, job
    client.close()

    assert 10 < estimates < 50
