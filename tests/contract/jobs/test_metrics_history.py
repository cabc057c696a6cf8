"""The history of metrics: what happened between samples, without double samples, bounded in size."""

import pytest
from redis import Redis

from schemas.errors import SiteRefused
from schemas.jobs.job import GeneratedImage, JobRequest
from stores.jobs.metrics import JobMetricsReader
from stores.jobs.metrics_history import CACHE_S, RETENTION_S, SAMPLE_INTERVAL_S, MetricsHistory
from stores.redis.keys import ENDED_COUNTS, METRICS_HISTORY, histogram_key
from tests.conftest import FakeClock
from tests.contract.conftest import OTHER_JOB_ID, OWNER, RedisStores, create_completed_job


class Recorder:
    """A history, and the figures that it records."""

    def __init__(self, client: Redis, clock: FakeClock) -> None:
        self._metrics = JobMetricsReader(client, clock)
        self._history = MetricsHistory(client, clock)
        self.read = self._history.read

    def record(self) -> bool:
        """Record the present figures."""
        return self._history.record(self._metrics.read())


@pytest.fixture
def history(client: Redis, clock: FakeClock) -> Recorder:
    """The history under test."""
    return Recorder(client, clock)


def run_jobs(stores: RedisStores, clock: FakeClock, job_request: JobRequest, image: GeneratedImage) -> None:
    """Complete one job after four seconds of waiting, and refuse another one."""
    create_completed_job(stores, job_request, image)
    stores.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r2")
    clock.advance(4)
    refused = stores.attempts.claim("w1")
    assert refused
    stores.attempts.fail(refused, SiteRefused("no"))


def test_a_point_says_what_happened_since_the_one_before(
    stores: RedisStores,
    history: Recorder,
    clock: FakeClock,
    job_request: JobRequest,
    image: GeneratedImage,
) -> None:
    """Counters become differences, histograms become quantiles of the interval."""
    history.record()
    clock.advance(SAMPLE_INTERVAL_S)
    run_jobs(stores, clock, job_request, image)
    history.record()
    clock.advance(SAMPLE_INTERVAL_S)
    history.record()

    first, busy, quiet = history.read(span_s=600)

    assert (first.completed, first.failed, first.pickup_s) == (0, {}, None)
    assert (busy.completed, busy.failed, busy.waiting) == (1, {"site_refused": 1}, 0)
    assert busy.pickup_s is not None
    # The 95th percentile lies in the bucket of the job that waited four seconds.
    assert 2.5 < busy.pickup_s[1] <= 5
    assert (quiet.completed, quiet.failed, quiet.run_s) == (0, {}, None)


def test_counters_that_were_reset_do_not_become_negative(
    stores: RedisStores,
    history: Recorder,
    clock: FakeClock,
    job_request: JobRequest,
    image: GeneratedImage,
) -> None:
    """A Redis that lost its counters starts again at zero."""
    run_jobs(stores, clock, job_request, image)
    history.record()
    stores.redis.delete(ENDED_COUNTS, histogram_key("run"), histogram_key("pickup"))
    clock.advance(SAMPLE_INTERVAL_S)
    history.record()

    last = history.read(span_s=600)[-1]

    assert (last.completed, last.failed, last.run_s) == (0, {}, None)


def test_the_history_has_one_sample_an_interval_and_forgets_old_ones(
    history: Recorder, clock: FakeClock, client: Redis
) -> None:
    """Two clocks store one sample; the size does not grow beyond the retention."""
    assert history.record()
    assert not history.record()
    clock.advance(RETENTION_S)
    history.record()
    clock.advance(SAMPLE_INTERVAL_S)
    history.record()

    assert client.hlen(METRICS_HISTORY) == 2
    assert len(history.read()) == 1


def test_points_are_grouped_when_there_are_more_than_a_plot_shows(history: Recorder, clock: FakeClock) -> None:
    """No more points than asked for, oldest first."""
    for _ in range(40):
        history.record()
        clock.advance(SAMPLE_INTERVAL_S)

    points = history.read(span_s=20 * 60, max_points=10)

    assert len(points) == 10
    assert [point.at_ms for point in points] == sorted(point.at_ms for point in points)


def test_a_part_of_the_history_is_read_alone_and_rarely(
    history: Recorder, clock: FakeClock, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples of the span and the one before it are read, and again only when there can be a new one."""
    read: list[int] = []
    hmget = client.hmget

    def count(name: str, keys: list[str]) -> object:
        read.append(len(keys))
        return hmget(name, keys)

    for _ in range(40):
        history.record()
        clock.advance(SAMPLE_INTERVAL_S)
    monkeypatch.setattr(client, "hmget", count)

    points = history.read(span_s=10 * SAMPLE_INTERVAL_S)
    clock.advance(1)
    assert history.read(span_s=10 * SAMPLE_INTERVAL_S) == points
    assert read == [11]
    clock.advance(CACHE_S)
    history.record()
    assert history.read(span_s=10 * SAMPLE_INTERVAL_S)[-1].at_ms == clock.now_ms()
    assert len(read) == 2
