"""Quotas are counted when a job is created, refunded when it fails, and exact under concurrency."""

import threading
from dataclasses import replace

import pytest
from redis import Redis

from ops.infra.settings import Settings
from schemas.accounts.caller import UNLIMITED, Caller, CallerLimits
from schemas.errors import LimitReached, SiteRefused
from schemas.jobs.job import GeneratedImage, JobRequest
from tests.conftest import FakeClock
from tests.contract.conftest import OWNER, RedisStores, build_stores

DAY_S = 86_400
# A Wednesday, 10:00 UTC.
WEDNESDAY_MS = 1_800_439_200_000


def job_id(number: int) -> str:
    """Return a job id."""
    return f"{number:032x}"


def submit(stores: RedisStores, job_request: JobRequest, number: int, **limits: int) -> None:
    """Submit with limits of the key."""
    stores.jobs.create(job_id(number), OWNER, job_request, "r1", limits=CallerLimits(**limits))


def complete_next(stores: RedisStores, image: GeneratedImage) -> None:
    """Claim and complete the next job."""
    job = stores.attempts.claim("w1")
    assert job
    stores.attempts.mark_accepted(job)
    keys = stores.attempts.store_images(job, [image], b"jpeg")
    stores.attempts.complete(job, [image], keys)


@pytest.mark.parametrize("policy", ["daily", "weekly", "queued"])
def test_limits_of_a_key_override_the_settings(stores: RedisStores, job_request: JobRequest, policy: str) -> None:
    """A key's limit counts whether it is higher or lower."""
    submit(stores, job_request, 1, **{policy: 1})
    with pytest.raises(LimitReached) as reached:
        submit(stores, job_request, 2, **{policy: 1})
    assert reached.value.details == {"policy": policy, "limit": 1}
    submit(stores, job_request, 2)


def test_a_changed_number_of_running_jobs_holds_for_waiting_ones(stores: RedisStores, job_request: JobRequest) -> None:
    """At the next submission, even if that is refused, and at once when a key is changed."""
    for number in (1, 2, 3):
        submit(stores, job_request, number, concurrent=0, queued=3)
    assert stores.attempts.claim("w1") is None
    with pytest.raises(LimitReached):
        submit(stores, job_request, 4, concurrent=1, queued=3)
    assert stores.wakeups.count_claimable() == 1
    assert stores.attempts.claim("w1")
    assert stores.attempts.claim("w1") is None

    stores.quotas.limit_running(OWNER, CallerLimits(concurrent=2))
    assert stores.attempts.claim("w1")
    assert stores.attempts.claim("w1") is None
    stores.quotas.limit_running(OWNER, CallerLimits(concurrent=UNLIMITED))
    assert stores.attempts.claim("w1")


def test_concurrent_submissions_get_exactly_the_quota(stores: RedisStores, job_request: JobRequest) -> None:
    """No two submissions get the same last place."""
    outcomes: list[bool] = []
    ready = threading.Barrier(50)

    def ask(number: int) -> None:
        ready.wait()
        try:
            submit(stores, job_request, number, daily=17)
        except LimitReached:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (outcomes.count(True), len(outcomes)) == (17, 50)
    assert stores.quotas.get_usage(OWNER).daily == 17


def test_failed_and_cancelled_jobs_are_given_back_once(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """A completed job stays counted, and a retry counts nothing."""
    for number in range(3):
        submit(stores, job_request, number)
    complete_next(stores, image)
    job = stores.attempts.claim("w1")
    assert job
    stores.attempts.retry(job, SiteRefused("again"), 0)
    assert stores.quotas.get_usage(OWNER).daily == 3
    again = stores.attempts.claim("w1")
    assert again
    stores.attempts.fail(again, SiteRefused("no"))
    stores.jobs.cancel(job_id(2))
    stores.jobs.cancel(job_id(2))
    used = stores.quotas.get_usage(OWNER)
    assert (used.daily, used.weekly, used.queued, used.running) == (1, 1, 0, 0)


def test_quotas_reset_at_midnight_and_on_monday(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """A submission succeeds after Retry-After, and fails a second earlier."""
    clock.time_ms = WEDNESDAY_MS + 1
    for limits, wait_s in (({"daily": 1}, 14 * 3600), ({"weekly": 3}, 4 * DAY_S)):
        number = wait_s
        submit(stores, job_request, number, **limits)
        with pytest.raises(LimitReached) as reached:
            submit(stores, job_request, number + 1, **limits)
        assert reached.value.retry_after_s == wait_s
        clock.advance(wait_s - 1)
        with pytest.raises(LimitReached):
            submit(stores, job_request, number + 1, **limits)
        clock.advance(1)
        submit(stores, job_request, number + 1, **limits)


def test_a_failure_is_given_back_to_the_day_of_its_submission(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """The quota of the next day does not grow."""
    clock.time_ms = WEDNESDAY_MS
    submit(stores, job_request, 1)
    clock.advance(DAY_S)
    submit(stores, job_request, 2)
    stores.jobs.cancel(job_id(1))
    assert (stores.quotas.get_usage(OWNER).daily, stores.quotas.get_usage(OWNER).weekly) == (1, 1)


def test_concurrency_of_a_key_is_limited(stores: RedisStores, job_request: JobRequest, image: GeneratedImage) -> None:
    """Other callers go on; the end of a job makes room and publishes a wakeup."""
    for number in range(3):
        submit(stores, job_request, number, concurrent=1)
    stores.jobs.create(job_id(9), "another", job_request, "r1")
    first = stores.attempts.claim("w1")
    other = stores.attempts.claim("w1")
    assert first
    assert other
    assert {first.owner, other.owner} == {OWNER, "another"}
    assert stores.attempts.claim("w1") is None
    assert stores.wakeups.top_up() == 0
    mine = first if first.owner == OWNER else other
    stores.attempts.mark_accepted(mine)
    keys = stores.attempts.store_images(mine, [image], b"jpeg")
    stores.attempts.complete(mine, [image], keys)
    assert stores.wakeups.top_up() == 1
    assert stores.attempts.claim("w1")
    assert stores.attempts.claim("w1") is None


def test_an_expired_lease_makes_room(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """A dead worker occupies no slot."""
    for number in range(2):
        submit(stores, job_request, number, concurrent=1)
    lost = stores.attempts.claim("w1")
    assert lost
    clock.advance(60)
    assert stores.maintenance.requeue_expired(lost.id)
    assert stores.attempts.claim("w2")
    assert stores.quotas.get_usage(OWNER).running == 1


def test_a_dry_run_writes_nothing(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """It returns the limit and the position."""
    submit(stores, job_request, 1)
    clock.advance(1)
    limit, position = stores.jobs.dry_run(OWNER, "studio", 0, CallerLimits(daily=1))
    assert limit
    assert (limit.details["policy"], position) == ("daily", 2)
    assert stores.jobs.dry_run(OWNER, "studio", 0) == (None, 2)
    assert stores.quotas.get_usage(OWNER).daily == 1


def test_quotas_are_summarized_by_kind(
    client: Redis, clock: FakeClock, settings: Settings, job_request: JobRequest
) -> None:
    """Remaining is limit minus usage; an unlimited quota is a word, because JSON has no infinity."""
    stores = build_stores(client, clock, replace(settings, limit_daily_images=5))
    submit(stores, job_request, 1)
    summary = stores.quotas.summarize(Caller(OWNER, OWNER, limits=CallerLimits(queued=3)))
    assert summary["usage"]["DAILY_IMAGE_CREATIONS"] == 1
    assert summary["remaining"]["DAILY_IMAGE_CREATIONS"] == 4
    assert summary["limits"]["QUEUED_IMAGE_JOBS"] == 3
    assert summary["remaining"]["DAILY_COVER_CREATIONS"] == 0
    assert summary["isPremium"]
    assert not stores.quotas.summarize(Caller("bob", "bob", plan=None))["isPremium"]


def test_usage_is_kept_by_day_and_week(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """The last entry is today and this week; a job that fails is taken back from the day of its submission."""
    clock.time_ms = WEDNESDAY_MS
    submit(stores, job_request, 1)
    submit(stores, job_request, 2)
    clock.advance(20 * DAY_S)
    submit(stores, job_request, 3)
    stores.jobs.cancel(job_id(2))

    usage = stores.quotas.list_history([OWNER, "other"])

    assert [day for day in usage[OWNER].days if day[1]] == [("2027-01-20", 1), ("2027-02-09", 1)]
    assert [week for week in usage[OWNER].weeks if week[1]] == [("2027-01-18", 1), ("2027-02-08", 1)]
    assert usage[OWNER].days[-1][0] == "2027-02-09"
    assert (len(usage[OWNER].days), len(usage[OWNER].weeks)) == (30, 12)
    assert not any(images for _, images in usage["other"].days)
