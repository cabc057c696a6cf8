"""Who comes next: callers take turns, priority orders a caller's own jobs, sites have limits, estimates are true."""

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
PICTURE = GeneratedImage(b"x", "image/png", 1, 1)


class Line:
    """Jobs in line, told apart by short names."""

    def __init__(self, stores: RedisStores, clock: FakeClock) -> None:
        self.stores = stores
        self.clock = clock
        self.names: dict[str, str] = {}

    def add(self, name: str, owner: str, *, site: str = "studio", priority: int = 0) -> None:
        """One more job, a millisecond after the one before."""
        ident = f"{len(self.names):032x}"
        self.names[ident] = name
        self.clock.advance(0.001)
        self.stores.jobs.create(ident, owner, JobRequest(site, name, priority=priority), "r")

    def positions(self) -> dict[str, int | None]:
        """Where each job stands."""
        return {name: self.stores.jobs.get_with_estimate(ident)[1].position for ident, name in self.names.items()}

    def claim(self) -> str | None:
        """The name of the next job, which runs from now on."""
        job = self.stores.attempts.claim("w")
        return self.names[job.id] if job else None

    def run(self, seconds: float = 0.0) -> str | None:
        """The name of the next job, which has run and ended."""
        job = self.stores.attempts.claim("w")
        if job is None:
            return None
        self.clock.advance(seconds)
        self.stores.attempts.mark_accepted(job)
        self.stores.attempts.store_images(job, [PICTURE], b"x")
        self.stores.attempts.complete(job, [PICTURE])
        return self.names[job.id]


@pytest.fixture
def line(stores: RedisStores, clock: FakeClock, settings: Settings) -> Line:
    """An empty line at three sites, two of which have limits."""
    return Line(build_stores(stores.redis, clock, settings, extra_recipes=(NARROW, SLOW, SCARCE)), clock)


def test_callers_take_turns(line: Line) -> None:
    """Who has many jobs waiting does not hold up who has one."""
    for number in range(5):
        line.add(f"a{number}", "ann")
    line.add("b0", "bob")
    line.add("c0", "cleo")
    line.add("b1", "bob")

    assert [line.claim() for _ in range(9)] == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4", None]


def test_who_comes_back_at_once_does_not_get_two_turns(line: Line) -> None:
    """A caller with a single job at a time waits for the others' turns like everybody."""
    for number in range(3):
        line.add(f"a{number}", "ann")
    line.add("b0", "bob")

    assert [line.claim(), line.claim()] == ["a0", "b0"]
    line.add("b1", "bob")
    assert [line.claim(), line.claim(), line.claim()] == ["a1", "b1", "a2"]


def test_priority_orders_ones_own_jobs_only(line: Line) -> None:
    """The highest first, then the oldest; nobody jumps another caller's turn."""
    line.add("a-low", "ann", priority=-10)
    line.add("a-1", "ann")
    line.add("a-2", "ann")
    line.add("b-1", "bob")
    line.add("a-high", "ann", priority=10)

    assert [line.claim() for _ in range(5)] == ["a-high", "b-1", "a-1", "a-2", "a-low"]


def test_positions_are_the_order_of_the_claims(line: Line) -> None:
    """What /status says is what happens when nothing else arrives."""
    for number in range(4):
        line.add(f"a{number}", "ann", priority=number)
    line.add("b0", "bob")
    line.add("s0", "bob", site="narrow")
    line.add("c0", "cleo")
    line.add("c1", "cleo")
    said = line.positions()

    claimed = [line.claim() for _ in range(8)]

    assert [said[str(name)] for name in claimed] == list(range(1, 9))
    assert set(line.positions().values()) == {None}


def test_a_site_takes_no_more_than_its_limit_at_once(line: Line) -> None:
    """The others go on meanwhile; the place is free when the job ends, however it ends."""
    line.add("n0", "ann", site="narrow")
    line.add("n1", "bob", site="narrow")
    line.add("s0", "ann")

    first = line.stores.attempts.claim("w")
    assert first
    assert [line.claim(), line.claim()] == ["s0", None]
    assert line.stores.wakeups.top_up() == 0
    line.stores.maintenance.requeue_expired(first.id, "w")
    assert line.claim() == "n0"


def test_a_full_site_gets_a_ticket_when_there_is_room(line: Line) -> None:
    """As many as may start, and not as many as wait."""
    for number in range(3):
        line.add(f"n{number}", "ann", site="narrow")

    assert line.stores.wakeups.top_up() == 1
    assert line.stores.wakeups.top_up() == 0


def test_a_site_has_time_to_breathe(line: Line) -> None:
    """Between two starts there is the pause that its recipe asks for, over all workers, and a little more."""
    line.add("p0", "ann", site="slow")
    line.add("p1", "bob", site="slow")

    assert [line.run(), line.run()] == ["p0", None]
    line.clock.advance(4.9)
    assert line.run() is None
    line.clock.advance(1.1)
    assert line.run() == "p1"


def test_a_site_has_so_many_a_day(line: Line) -> None:
    """What is beyond waits for the next day; other sites go on."""
    for name in ("d0", "d1", "d2"):
        line.add(name, "ann", site="scarce")
    assert [line.run(), line.run(), line.run()] == ["d0", "d1", None]
    assert line.stores.wakeups.top_up() == 0
    line.add("x0", "ann")
    assert line.run() == "x0"

    line.clock.advance(86_400)
    assert line.run() == "d2"


def test_only_known_sites_are_claimed(line: Line, clock: FakeClock, settings: Settings) -> None:
    """A worker without a site's recipe leaves its jobs to others."""
    line.add("n0", "ann", site="narrow")
    stranger = build_stores(line.stores.redis, clock, settings)

    assert stranger.attempts.claim("w") is None
    assert line.claim() == "n0"


def test_a_cancelled_job_leaves_no_gap(line: Line) -> None:
    """Its place in line is gone, and so is its caller's turn if there was nothing else."""
    line.add("a0", "ann")
    line.add("b0", "bob")
    line.stores.jobs.cancel(next(iter(line.names)))

    assert line.positions() == {"a0": None, "b0": 1}
    assert [line.claim(), line.claim()] == ["b0", None]
    assert not line.stores.redis.keys("dr:turns:*")


def test_a_missing_ticket_is_sent(line: Line) -> None:
    """A crash between the record and the ticket loses nothing, and each is sent once."""
    line.add("a0", "ann")
    line.add("b0", "bob")

    assert [line.stores.wakeups.top_up(), line.stores.wakeups.top_up()] == [2, 0]


def test_run_times_are_learned(line: Line) -> None:
    """The newest counts a fifth."""
    for seconds in (10, 20):
        line.add("a", "ann")
        line.run(seconds)
    line.add("b", "ann")
    line.stores.maintenance.publish_capacity(2)
    outlook = line.stores.jobs.get_with_estimate(list(line.names)[-1])[1]

    assert outlook == QueueEstimate(position=1, mean_run_ms=12_000, running=0, slots=2)


def test_estimates_follow_the_line(line: Line) -> None:
    """One run for who finds a free slot, more for who waits, the rest of the run for who runs."""
    line.add("a", "ann")
    line.run(10)
    line.stores.maintenance.publish_capacity(2)
    for name in ("b", "c", "d", "e"):
        line.add(name, "ann")

    def etas(limits: SiteLimits = STUDIO.limits) -> list[float | None]:
        looks = [line.stores.jobs.get_with_estimate(ident) for ident in list(line.names)[1:]]
        return [outlook.eta_s(job, limits, line.clock.now_ms()) for job, outlook in looks]

    assert etas() == [10.0, 10.0, 20.0, 20.0]
    assert etas(SiteLimits(concurrency=1, min_interval_s=0.0, daily=0)) == [10.0, 20.0, 30.0, 40.0]
    line.claim()
    line.clock.advance(4)
    assert etas() == [6.0, 10.0, 12.5, 17.5]
    line.clock.advance(40)
    assert etas()[0] == 0.0
