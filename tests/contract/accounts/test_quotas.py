"""Quotas: reserved with a job's creation, given back with its failure, exact however many ask at once."""

import threading
from dataclasses import replace

import pytest
from redis import Redis

from ops.infra.settings import Settings
from schemas.accounts.caller import Caller, CallerLimits
from schemas.errors import LimitReached, SiteRefused
from schemas.jobs.job import GeneratedImage, JobRequest
from tests.conftest import FakeClock
from tests.contract.conftest import OWNER, RedisStores, build_stores

DAY_S = 86_400
# A Wednesday, 10:00 UTC.
WEDNESDAY_MS = 1_800_439_200_000


def ident(number: int) -> str:
    """An id of a job."""
    return f"{number:032x}"


def submit(stores: RedisStores, job_request: JobRequest, number: int, **limits: int) -> None:
    """Submit with a key's own limits."""
    stores.jobs.create(ident(number), OWNER, job_request, "r1", limits=CallerLimits(**limits))


def paint(stores: RedisStores, image: GeneratedImage) -> None:
    """Carry the next job through."""
    job = stores.attempts.claim("w1")
    assert job
    stores.attempts.mark_accepted(job)
    stores.attempts.store_images(job, [image], b"jpeg")
    stores.attempts.complete(job, [image])


@pytest.mark.parametrize("policy", ["daily", "weekly", "queued"])
def test_a_keys_own_limit_wins_over_the_settings(stores: RedisStores, job_request: JobRequest, policy: str) -> None:
    """Whichever of the two is higher."""
    submit(stores, job_request, 1, **{policy: 1})
    with pytest.raises(LimitReached) as reached:
        submit(stores, job_request, 2, **{policy: 1})
    assert reached.value.details == {"policy": policy, "limit": 1}
    submit(stores, job_request, 2)


def test_fifty_at_once_get_exactly_what_there_is(stores: RedisStores, job_request: JobRequest) -> None:
    """No two of them take the same last one."""
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


def test_what_fails_or_is_cancelled_is_given_back_once(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """A image that was made stays counted; a retry counts nothing."""
    for number in range(3):
        submit(stores, job_request, number)
    paint(stores, image)
    job = stores.attempts.claim("w1")
    assert job
    stores.attempts.retry(job, SiteRefused("again"), 0)
    assert stores.quotas.get_usage(OWNER).daily == 3
    again = stores.attempts.claim("w1")
    assert again
    stores.attempts.fail(again, SiteRefused("no"))
    stores.jobs.cancel(ident(2))
    stores.jobs.cancel(ident(2))
    used = stores.quotas.get_usage(OWNER)
    assert (used.daily, used.weekly, used.queued, used.running) == (1, 1, 0, 0)


def test_days_end_at_midnight_and_weeks_on_monday(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """Whoever waits as long as Retry-After says gets the next one, and not a second earlier."""
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


def test_a_failure_after_midnight_gives_back_what_was_reserved_before(
    stores: RedisStores, job_request: JobRequest, clock: FakeClock
) -> None:
    """The new day is not one image longer."""
    clock.time_ms = WEDNESDAY_MS
    submit(stores, job_request, 1)
    clock.advance(DAY_S)
    submit(stores, job_request, 2)
    stores.jobs.cancel(ident(1))
    assert (stores.quotas.get_usage(OWNER).daily, stores.quotas.get_usage(OWNER).weekly) == (1, 1)


def test_no_more_run_at_once_than_a_key_may(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """The others wait; other callers are not held up; an end makes room, and a ticket is sent for it."""
    for number in range(3):
        submit(stores, job_request, number, concurrent=1)
    stores.jobs.create(ident(9), "somebody", job_request, "r1")
    first = stores.attempts.claim("w1")
    other = stores.attempts.claim("w1")
    assert first
    assert other
    assert {first.owner, other.owner} == {OWNER, "somebody"}
    assert stores.attempts.claim("w1") is None
    assert stores.wakeups.top_up() == 0
    mine = first if first.owner == OWNER else other
    stores.attempts.mark_accepted(mine)
    stores.attempts.store_images(mine, [image], b"jpeg")
    stores.attempts.complete(mine, [image])
    assert stores.wakeups.top_up() == 1
    assert stores.attempts.claim("w1")
    assert stores.attempts.claim("w1") is None


def test_a_lapsed_job_makes_room(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """A worker that died holds no place."""
    for number in range(2):
        submit(stores, job_request, number, concurrent=1)
    lost = stores.attempts.claim("w1")
    assert lost
    clock.advance(60)
    assert stores.maintenance.requeue_expired(lost.id)
    assert stores.attempts.claim("w2")
    assert stores.quotas.get_usage(OWNER).running == 1


def test_a_rehearsal_takes_nothing(stores: RedisStores, job_request: JobRequest, clock: FakeClock) -> None:
    """It says what would block, and where one would stand."""
    submit(stores, job_request, 1)
    clock.advance(1)
    limit, position = stores.jobs.dry_run(OWNER, "studio", 0, CallerLimits(daily=1))
    assert limit
    assert (limit.details["policy"], position) == ("daily", 2)
    assert stores.jobs.dry_run(OWNER, "studio", 0) == (None, 2)
    assert stores.quotas.get_usage(OWNER).daily == 1


def test_quotas_are_told_by_kind(client: Redis, clock: FakeClock, settings: Settings, job_request: JobRequest) -> None:
    """The words that clients know; remaining is limit less usage, and no limit is a word that JSON has."""
    stores = build_stores(client, clock, replace(settings, limit_daily_images=5))
    submit(stores, job_request, 1)
    told = stores.quotas.summarize(Caller(OWNER, OWNER, limits=CallerLimits(weekly=3)))
    assert told["usage"]["DAILY_IMAGE_CREATIONS"] == 1
    assert told["remaining"]["DAILY_IMAGE_CREATIONS"] == 4
    assert told["limits"]["WEEKLY_IMAGE_CREATIONS"] == 3
    assert told["remaining"]["CONCURRENT_IMAGE_JOBS"] == "Infinity"
    assert told["isPremium"]
    assert not stores.quotas.summarize(Caller("bob", "bob", plan=None))["isPremium"]
