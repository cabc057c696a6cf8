"""Circuit breakers of sites: what opens, tests and closes them."""

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

IMAGE = GeneratedImage(b"x", "image/png", 1, 1)
BROKEN = (SiteUnavailable("no answer"), SiteChanged("no prompt"))
CLOSED = (NeedsHuman("a login"), RobotsDisallowed("no"))


class SiteJobs:
    """Jobs of one site, one after another."""

    def __init__(self, stores: RedisStores) -> None:
        self.stores = stores
        self.made = 0

    def submit(self) -> str:
        """Submit a job and return its id."""
        self.made += 1
        job_id = f"{self.made:032x}"
        self.stores.jobs.create(job_id, "owner", JobRequest("studio", "x"), "r")
        return job_id

    def claim(self) -> Job | None:
        """Claim the next job."""
        return self.stores.attempts.claim("w")

    def end(self, job: Job | None, error: ServiceError | None = None) -> None:
        """End a claimed job, with an error or with an image."""
        assert job
        if error:
            self.stores.attempts.fail(job, error)
            return
        self.stores.attempts.mark_accepted(job)
        keys = self.stores.attempts.store_images(job, [IMAGE], b"x")
        self.stores.attempts.complete(job, [IMAGE], keys)

    def fail(self, times: int, error: ServiceError = BROKEN[0]) -> None:
        """Submit ``times`` jobs and end them with ``error``."""
        for _ in range(times):
            self.submit()
            self.end(self.claim(), error)


@pytest.fixture
def site_jobs(stores: RedisStores) -> SiteJobs:
    """The jobs of a site, none at first."""
    return SiteJobs(stores)


@pytest.mark.parametrize("error", CLOSED, ids=lambda error: error.code)
def test_a_closed_site_opens_the_circuit_at_once(site_jobs: SiteJobs, error: ServiceError) -> None:
    """Only a person can solve the problem."""
    site_jobs.fail(1, error)
    site_jobs.submit()

    assert site_jobs.stores.circuit_breakers.read(["studio"])["studio"].code == error.code
    assert site_jobs.claim() is None


def test_a_pause_stops_all_workers(site_jobs: SiteJobs, clock: FakeClock) -> None:
    """They stop until the named time; a shorter pause does not shorten it."""
    site_jobs.stores.circuit_breakers.pause("studio", 9_000)
    site_jobs.stores.circuit_breakers.pause("studio", 2_000)
    site_jobs.submit()
    clock.advance(8.999)
    assert site_jobs.claim() is None

    clock.advance(0.001)
    assert site_jobs.claim()


def test_visits_reserve_their_turns(site_jobs: SiteJobs, clock: FakeClock) -> None:
    """Each begins an interval after the one before, and one that would wait too long takes no turn."""
    breakers = site_jobs.stores.circuit_breakers
    assert [breakers.reserve_visit("studio", 2_000, 5_000) for _ in range(5)] == [0, 2_000, 4_000, 6_000, 6_000]
    assert not breakers.is_paused("studio")
    site_jobs.submit()
    clock.advance(5.999)
    assert site_jobs.claim() is None
    clock.advance(0.001)
    assert site_jobs.claim()

    breakers.pause("studio", 1_000)
    assert (breakers.is_paused("studio"), breakers.reserve_visit("studio", 0, 5_000)) == (True, 1_000)
    clock.advance(1)
    assert (breakers.is_paused("studio"), breakers.reserve_visit("studio", 0, 5_000)) == (False, 0)


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: error.code)
def test_five_failures_in_a_row_open_it(site_jobs: SiteJobs, error: ServiceError, clock: FakeClock) -> None:
    """Four do not open it; waiting jobs then show the reason and the time of the next attempt."""
    site_jobs.fail(4, error)
    assert not site_jobs.stores.circuit_breakers.read(["studio"])["studio"].is_open
    site_jobs.fail(1, error)
    job_id = site_jobs.submit()

    circuit = site_jobs.stores.circuit_breakers.read(["studio"])["studio"]
    assert (circuit.is_open, circuit.failures, circuit.code, circuit.error) == (True, 5, error.code, error.message)
    assert (circuit.opened_at, circuit.retry_at) == (clock.now_ms(), clock.now_ms() + 30_000)
    assert site_jobs.claim() is None
    assert site_jobs.stores.wakeups.top_up() == 0
    estimate = site_jobs.stores.jobs.get_with_estimate(job_id)[1]
    assert (estimate.position, estimate.circuit_error, estimate.circuit_retry_at) == (
        1,
        error.message,
        circuit.retry_at,
    )


def test_a_working_site_resets_the_count(site_jobs: SiteJobs) -> None:
    """An image or a refusal by the site resets it; a lost browser says nothing about the site."""
    for good in (None, SiteRefused("not that")):
        site_jobs.fail(4)
        site_jobs.submit()
        site_jobs.end(site_jobs.claim(), BrowserLost())
        assert site_jobs.stores.circuit_breakers.read(["studio"])["studio"].failures == 4
        site_jobs.submit()
        site_jobs.end(site_jobs.claim(), good)
        assert site_jobs.stores.circuit_breakers.read(["studio"])["studio"].failures == 0


def test_retries_count_as_failures(site_jobs: SiteJobs, clock: FakeClock) -> None:
    """Attempts are counted, not jobs."""
    site_jobs.submit()
    site_jobs.submit()
    for _ in range(5):
        clock.advance(10)
        site_jobs.stores.wakeups.top_up()
        job = site_jobs.claim()
        assert job
        site_jobs.stores.attempts.retry(job, BROKEN[0], 2_000)

    assert site_jobs.stores.circuit_breakers.read(["studio"])["studio"].is_open


def test_one_job_at_a_time_tests_an_open_circuit(site_jobs: SiteJobs, clock: FakeClock) -> None:
    """It tests after 30 s, then 60 s, and so on up to 10 minutes; a success closes the circuit."""
    site_jobs.fail(5)
    for _ in range(10):
        site_jobs.submit()
    for delay_s in (30, 60, 120, 240, 480, 600, 600):
        clock.advance(delay_s - 1)
        assert site_jobs.claim() is None
        clock.advance(1)
        assert site_jobs.stores.wakeups.top_up() <= 1
        test_job = site_jobs.claim()
        assert site_jobs.claim() is None
        site_jobs.end(test_job, BROKEN[1])
    clock.advance(600)
    test_job = site_jobs.claim()
    site_jobs.end(test_job)

    assert not site_jobs.stores.circuit_breakers.read(["studio"])["studio"].is_open
    assert site_jobs.claim()
    assert site_jobs.claim()


def test_a_lost_test_job_is_replaced(site_jobs: SiteJobs, clock: FakeClock) -> None:
    """If its worker dies, the circuit stays open and the next job tests it."""
    site_jobs.fail(5)
    site_jobs.submit()
    clock.advance(30)
    first = site_jobs.claim()
    assert first
    site_jobs.stores.maintenance.requeue_expired(first.id, "w")

    again = site_jobs.claim()
    assert again
    assert again.id == first.id


def test_late_failures_do_not_prolong_it(site_jobs: SiteJobs) -> None:
    """Jobs that were running when it opened do not count as tests."""
    for _ in range(7):
        site_jobs.submit()
    jobs = [site_jobs.claim() for _ in range(7)]
    for job in jobs:
        site_jobs.end(job, BROKEN[0])

    circuit = site_jobs.stores.circuit_breakers.read(["studio"])["studio"]
    assert circuit.opened_at
    assert circuit.retry_at == circuit.opened_at + 30_000


def test_it_is_closed_by_hand(site_jobs: SiteJobs) -> None:
    """Jobs start at once, and the count is reset."""
    site_jobs.fail(5)
    site_jobs.submit()
    site_jobs.stores.circuit_breakers.close("studio")

    assert site_jobs.stores.wakeups.top_up() == 1
    assert site_jobs.claim()
    assert site_jobs.stores.circuit_breakers.read(["studio"])["studio"].failures == 0
