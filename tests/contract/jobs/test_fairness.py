"""Scheduling: round robin between owners, priority within an owner, site limits, estimates."""

from dataclasses import replace

import pytest

from ops.infra.settings import Settings
from schemas.jobs.job import GeneratedImage, JobRequest, QueueEstimate
from schemas.sites.recipe import SiteLimits
from stores.sites.recipes import Recipes
from tests.conftest import FakeClock
from tests.contract.conftest import RedisStores, build_stores

STUDIO = Recipes("studio").default
NARROW = replace(STUDIO, name="narrow", limits=SiteLimits(concurrency=1, min_interval_s=0.0, daily=0))
SCARCE = replace(STUDIO, name="scarce", limits=SiteLimits(concurrency=0, min_interval_s=0.0, daily=2))
SLOW = replace(STUDIO, name="slow", limits=SiteLimits(concurrency=0, min_interval_s=5.0, daily=0))
IMAGE = GeneratedImage(b"x", "image/png", 1, 1)


class JobQueue:
    """A queue whose jobs have short names."""

    def __init__(self, stores: RedisStores, clock: FakeClock) -> None:
        self.stores = stores
        self.clock = clock
        self.names: dict[str, str] = {}

    def add(self, name: str, owner: str, *, site: str = "studio", priority: int = 0) -> None:
        """Submit a job, a millisecond after the one before."""
        job_id = f"{len(self.names):032x}"
        self.names[job_id] = name
        self.clock.advance(0.001)
        self.stores.jobs.create(job_id, owner, JobRequest(site, name, priority=priority), "r")

    def positions(self) -> dict[str, int | None]:
        """Return the position of each job."""
        return {name: self.stores.jobs.get_with_estimate(job_id)[1].position for job_id, name in self.names.items()}

    def claim(self) -> str | None:
        """Claim the next job and return its name."""
        job = self.stores.attempts.claim("w")
        return self.names[job.id] if job else None

    def run(self, seconds: float = 0.0) -> str | None:
        """Claim and complete the next job, and return its name."""
        job = self.stores.attempts.claim("w")
        if job is None:
            return None
        self.clock.advance(seconds)
        self.stores.attempts.mark_accepted(job)
        keys = self.stores.attempts.store_images(job, [IMAGE], b"x")
        self.stores.attempts.complete(job, [IMAGE], keys)
        return self.names[job.id]


@pytest.fixture
def queue(stores: RedisStores, clock: FakeClock, settings: Settings) -> JobQueue:
    """An empty queue for three sites, two of which have limits."""
    return JobQueue(build_stores(stores.redis, clock, settings, extra_recipes=(NARROW, SLOW, SCARCE)), clock)


def test_owners_are_served_round_robin(queue: JobQueue) -> None:
    """An owner with many jobs does not delay one with a single job."""
    for number in range(5):
        queue.add(f"a{number}", "ann")
    queue.add("b0", "bob")
    queue.add("c0", "cleo")
    queue.add("b1", "bob")

    assert [queue.claim() for _ in range(9)] == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4", None]


def test_a_returning_owner_joins_at_the_end(queue: JobQueue) -> None:
    """An owner who submits one job at a time waits for the other owners' turns."""
    for number in range(3):
        queue.add(f"a{number}", "ann")
    queue.add("b0", "bob")

    assert [queue.claim(), queue.claim()] == ["a0", "b0"]
    queue.add("b1", "bob")
    assert [queue.claim(), queue.claim(), queue.claim()] == ["a1", "b1", "a2"]


def test_priority_orders_jobs_of_one_owner(queue: JobQueue) -> None:
    """The highest priority comes first, then the oldest; other owners keep their turns."""
    queue.add("a-low", "ann", priority=-10)
    queue.add("a-1", "ann")
    queue.add("a-2", "ann")
    queue.add("b-1", "bob")
    queue.add("a-high", "ann", priority=10)

    assert [queue.claim() for _ in range(5)] == ["a-high", "b-1", "a-1", "a-2", "a-low"]


def test_positions_predict_the_order_of_claims(queue: JobQueue) -> None:
    """Positions hold if no further job arrives."""
    for number in range(4):
        queue.add(f"a{number}", "ann", priority=number)
    queue.add("b0", "bob")
    queue.add("s0", "bob", site="narrow")
    queue.add("c0", "cleo")
    queue.add("c1", "cleo")
    predicted = queue.positions()

    claimed = [queue.claim() for _ in range(8)]

    assert [predicted[str(name)] for name in claimed] == list(range(1, 9))
    assert set(queue.positions().values()) == {None}


def test_a_site_runs_at_most_its_concurrency(queue: JobQueue) -> None:
    """Other sites go on; the slot is free whichever way the job ends."""
    queue.add("n0", "ann", site="narrow")
    queue.add("n1", "bob", site="narrow")
    queue.add("s0", "ann")

    first = queue.stores.attempts.claim("w")
    assert first
    assert [queue.claim(), queue.claim()] == ["s0", None]
    assert queue.stores.wakeups.top_up() == 0
    queue.stores.maintenance.requeue_expired(first.id, "w")
    assert queue.claim() == "n0"


def test_a_job_is_found_behind_sites_without_jobs(stores: RedisStores, clock: FakeClock, settings: Settings) -> None:
    """Another version of the program has taken the jobs of 20 sites without updating the indexes."""
    recipes = tuple(replace(STUDIO, name=f"site-{number:02}") for number in range(23))
    queue = JobQueue(build_stores(stores.redis, clock, settings, extra_recipes=recipes), clock)
    for recipe in recipes:
        queue.add(f"job of {recipe.name}", f"owner of {recipe.name}", site=recipe.name)
    for recipe in recipes[:20]:
        stores.redis.delete(f"dr:ready:{recipe.name}|owner of {recipe.name}")

    assert [queue.claim() for _ in range(4)] == ["job of site-20", "job of site-21", "job of site-22", None]


def test_wakeups_are_sent_for_jobs_that_may_start(queue: JobQueue) -> None:
    """Jobs beyond the site's concurrency get no wakeup."""
    for number in range(3):
        queue.add(f"n{number}", "ann", site="narrow")

    assert queue.stores.wakeups.top_up() == 1
    assert queue.stores.wakeups.top_up() == 0


def test_starts_at_a_site_keep_the_minimum_interval(queue: JobQueue) -> None:
    """The interval holds over all workers and is jittered upwards."""
    queue.add("p0", "ann", site="slow")
    queue.add("p1", "bob", site="slow")

    assert [queue.run(), queue.run()] == ["p0", None]
    queue.clock.advance(4.9)
    assert queue.run() is None
    queue.clock.advance(1.1)
    assert queue.run() == "p1"


def test_a_site_keeps_its_daily_limit(queue: JobQueue) -> None:
    """Further jobs wait for the next day; other sites go on."""
    for name in ("d0", "d1", "d2"):
        queue.add(name, "ann", site="scarce")
    assert [queue.run(), queue.run(), queue.run()] == ["d0", "d1", None]
    assert queue.stores.wakeups.top_up() == 0
    queue.add("x0", "ann")
    assert queue.run() == "x0"

    queue.clock.advance(86_400)
    assert queue.run() == "d2"


def test_jobs_of_unknown_sites_are_not_claimed(queue: JobQueue, clock: FakeClock, settings: Settings) -> None:
    """A worker without a site's recipe leaves its jobs to others."""
    queue.add("n0", "ann", site="narrow")
    other_worker = build_stores(queue.stores.redis, clock, settings)

    assert other_worker.attempts.claim("w") is None
    assert queue.claim() == "n0"


def test_a_cancelled_job_leaves_the_queue(queue: JobQueue) -> None:
    """It has no position; its owner has no turn without another job."""
    queue.add("a0", "ann")
    queue.add("b0", "bob")
    queue.stores.jobs.cancel(next(iter(queue.names)))

    assert queue.positions() == {"a0": None, "b0": 1}
    assert [queue.claim(), queue.claim()] == ["b0", None]
    assert not queue.stores.redis.keys("dr:turns:*")


def test_a_missing_wakeup_is_sent_once(queue: JobQueue) -> None:
    """A crash between writing the record and publishing the wakeup loses no job."""
    queue.add("a0", "ann")
    queue.add("b0", "bob")

    assert [queue.stores.wakeups.top_up(), queue.stores.wakeups.top_up()] == [2, 0]


def test_the_mean_run_time_is_updated(queue: JobQueue) -> None:
    """The newest run counts a fifth."""
    for seconds in (10, 20):
        queue.add("a", "ann")
        queue.run(seconds)
    queue.add("b", "ann")
    queue.stores.maintenance.publish_capacity(2)
    estimate = queue.stores.jobs.get_with_estimate(list(queue.names)[-1])[1]

    assert estimate == QueueEstimate(position=1, mean_run_ms=12_000, running=0, slots=2)


def test_estimates_follow_the_position(queue: JobQueue) -> None:
    """The estimate is one run time with a free slot, more while waiting, the rest while running."""
    queue.add("a", "ann")
    queue.run(10)
    queue.stores.maintenance.publish_capacity(2)
    for name in ("b", "c", "d", "e"):
        queue.add(name, "ann")

    def etas(limits: SiteLimits = STUDIO.limits) -> list[float | None]:
        jobs = [queue.stores.jobs.get_with_estimate(job_id) for job_id in list(queue.names)[1:]]
        return [estimate.eta_s(job, limits, queue.clock.now_ms()) for job, estimate in jobs]

    assert etas() == [10.0, 10.0, 20.0, 20.0]
    assert etas(SiteLimits(concurrency=1, min_interval_s=0.0, daily=0)) == [10.0, 20.0, 30.0, 40.0]
    queue.claim()
    queue.clock.advance(4)
    assert etas() == [6.0, 10.0, 12.5, 17.5]
    queue.clock.advance(40)
    assert etas()[0] == 0.0
