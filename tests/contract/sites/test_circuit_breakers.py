"""A site's circuit: what opens it, what waits meanwhile, what tries it and what closes it."""

import pytest

from schemas.errors import (
    BrowserLost,
    NeedsHuman,
    RobotsDisallowed,
    ServiceError,
    SiteChanged,
    SiteRefused,
    SiteUnavailable,
)
from schemas.jobs.job import GeneratedImage, Job, JobRequest
from tests.conftest import FakeClock
from tests.contract.conftest import RedisStores

PICTURE = GeneratedImage(b"x", "image/png", 1, 1)
BROKEN = (SiteUnavailable("no answer"), SiteChanged("no prompt"))
CLOSED = (NeedsHuman("a login"), RobotsDisallowed("no"))


class Visits:
    """Jobs of one site, one after another."""

    def __init__(self, stores: RedisStores) -> None:
        self.stores = stores
        self.made = 0

    def submit(self) -> str:
        """One more job."""
        self.made += 1
        ident = f"{self.made:032x}"
        self.stores.jobs.create(ident, "owner", JobRequest("studio", "x"), "r")
        return ident

    def claim(self) -> Job | None:
        """Take the next job."""
        return self.stores.attempts.claim("w")

    def end(self, job: Job | None, error: ServiceError | None = None) -> None:
        """End a job that was taken, well or not."""
        assert job
        if error:
            self.stores.attempts.fail(job, error)
            return
        self.stores.attempts.mark_accepted(job)
        self.stores.attempts.store_images(job, [PICTURE], b"x")
        self.stores.attempts.complete(job, [PICTURE])

    def fail(self, times: int, error: ServiceError = BROKEN[0]) -> None:
        """So many jobs that end with ``error``."""
        for _ in range(times):
            self.submit()
            self.end(self.claim(), error)


@pytest.fixture
def visits(stores: RedisStores) -> Visits:
    """No job yet."""
    return Visits(stores)


@pytest.mark.parametrize("error", CLOSED, ids=lambda error: error.code)
def test_a_site_that_is_closed_to_us_is_not_tried_five_times(visits: Visits, error: ServiceError) -> None:
    """Only a person can change it."""
    visits.fail(1, error)
    visits.submit()

    assert visits.stores.circuit_breakers.read(["studio"])["studio"].code == error.code
    assert visits.claim() is None


def test_a_site_that_asks_for_it_is_left_alone(visits: Visits, clock: FakeClock) -> None:
    """By everybody, until the time it named; a shorter wish does not shorten it."""
    visits.stores.circuit_breakers.pause("studio", clock.now_ms() + 9_000)
    visits.stores.circuit_breakers.pause("studio", clock.now_ms() + 2_000)
    visits.submit()
    clock.advance(8.999)
    assert visits.claim() is None

    clock.advance(0.001)
    assert visits.claim()


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: error.code)
def test_five_failures_in_a_row_open_it(visits: Visits, error: ServiceError, clock: FakeClock) -> None:
    """Not four; jobs then wait, and say why and until when."""
    visits.fail(4, error)
    assert not visits.stores.circuit_breakers.read(["studio"])["studio"].is_open
    visits.fail(1, error)
    ident = visits.submit()

    circuit = visits.stores.circuit_breakers.read(["studio"])["studio"]
    assert (circuit.is_open, circuit.failures, circuit.code, circuit.error) == (True, 5, error.code, error.message)
    assert (circuit.opened_at, circuit.retry_at) == (clock.now_ms(), clock.now_ms() + 30_000)
    assert visits.claim() is None
    assert visits.stores.wakeups.top_up() == 0
    outlook = visits.stores.jobs.get_with_estimate(ident)[1]
    assert (outlook.position, outlook.circuit_error, outlook.circuit_retry_at) == (1, error.message, circuit.retry_at)


def test_an_end_that_speaks_for_the_site_begins_the_count_anew(visits: Visits) -> None:
    """A picture, or a refusal in the site's own words; a lost browser says nothing either way."""
    for good in (None, SiteRefused("not that")):
        visits.fail(4)
        visits.submit()
        visits.end(visits.claim(), BrowserLost())
        assert visits.stores.circuit_breakers.read(["studio"])["studio"].failures == 4
        visits.submit()
        visits.end(visits.claim(), good)
        assert visits.stores.circuit_breakers.read(["studio"])["studio"].failures == 0


def test_a_retry_counts_like_an_end(visits: Visits, clock: FakeClock) -> None:
    """Attempts are counted, not jobs."""
    visits.submit()
    visits.submit()
    for _ in range(5):
        clock.advance(10)
        visits.stores.wakeups.top_up()
        job = visits.claim()
        assert job
        visits.stores.attempts.retry(job, BROKEN[0], 2_000)

    assert visits.stores.circuit_breakers.read(["studio"])["studio"].is_open


def test_one_job_at_a_time_tries_it_again(visits: Visits, clock: FakeClock) -> None:
    """After 30 s; when it fails after 60 s, and so on up to 10 minutes; when it succeeds all go on."""
    visits.fail(5)
    for _ in range(10):
        visits.submit()
    for delay_s in (30, 60, 120, 240, 480, 600, 600):
        clock.advance(delay_s - 1)
        assert visits.claim() is None
        clock.advance(1)
        assert visits.stores.wakeups.top_up() <= 1
        canary = visits.claim()
        assert visits.claim() is None
        visits.end(canary, BROKEN[1])
    clock.advance(600)
    canary = visits.claim()
    visits.end(canary)

    assert not visits.stores.circuit_breakers.read(["studio"])["studio"].is_open
    assert visits.claim()
    assert visits.claim()


def test_a_lost_canary_is_replaced(visits: Visits, clock: FakeClock) -> None:
    """A worker that dies with it leaves the circuit as it was; the next one tries."""
    visits.fail(5)
    visits.submit()
    clock.advance(30)
    first = visits.claim()
    assert first
    visits.stores.maintenance.requeue_expired(first.id, "w")

    again = visits.claim()
    assert again
    assert again.id == first.id


def test_late_failures_do_not_prolong_it(visits: Visits) -> None:
    """What was under way when it opened is not a further try."""
    for _ in range(7):
        visits.submit()
    jobs = [visits.claim() for _ in range(7)]
    for job in jobs:
        visits.end(job, BROKEN[0])

    circuit = visits.stores.circuit_breakers.read(["studio"])["studio"]
    assert circuit.opened_at
    assert circuit.retry_at == circuit.opened_at + 30_000


def test_it_is_closed_by_hand(visits: Visits) -> None:
    """Jobs start again at once, and the count begins anew."""
    visits.fail(5)
    visits.submit()
    visits.stores.circuit_breakers.close("studio")

    assert visits.stores.wakeups.top_up() == 1
    assert visits.claim()
    assert visits.stores.circuit_breakers.read(["studio"])["studio"].failures == 0
