"""Maintenance reaches every job, however many others stand before it, and leaves nothing of a job without a record."""

from dataclasses import replace

import pytest

from ops.infra.settings import Settings
from schemas.accounts.caller import NO_LIMITS, CallerLimits
from schemas.errors import QueueWaitExceeded
from schemas.jobs.job import JobRequest
from schemas.jobs.lifecycle import JobState
from stores.jobs import maintenance
from stores.jobs.maintenance import Maintenance
from stores.redis.scripts import Scripts
from stores.sites.recipes import Recipes
from tests.conftest import FakeClock
from tests.contract.conftest import OWNER, RedisStores, build_stores

STUDIO = Recipes("studio").default
SITES = tuple(replace(STUDIO, name=name) for name in ("one", "two", "three"))
INDEXES = ("places", "weights", "positions", "shares", "claimable", "heads", "repair")
MAX_WAIT_S = 500


def job_id(number: int) -> str:
    """Return a job id."""
    return f"{number:032x}"


def submit(stores: RedisStores, number: int, site: str = "studio", limits: CallerLimits = NO_LIMITS) -> None:
    """Submit a job."""
    stores.jobs.create(job_id(number), OWNER, JobRequest(site, "x"), "r", limits=limits)


def test_jobs_expire_behind_any_number_of_running_ones(
    stores: RedisStores, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that looks at two jobs comes to the fourth and the sixth, past those that run, and begins again."""
    monkeypatch.setattr(maintenance, "MAX_LISTED", 2)
    for number in range(3):
        submit(stores, number)
        clock.advance(0.001)
        assert stores.attempts.claim("w")
    submit(stores, 3)
    clock.advance(0.001)

    def expire(*numbers: int) -> None:
        clock.advance(MAX_WAIT_S)
        for _ in range(4):
            stores.maintenance.sweep(leases=False, heartbeats=False, max_wait_s=MAX_WAIT_S, error=QueueWaitExceeded())
        assert {stores.jobs.get(job_id(number)).state for number in numbers} == {JobState.FAILED}

    expire(3)
    submit(stores, 4)
    submit(stores, 5)
    expire(4, 5)
    assert [stores.jobs.get(job_id(number)).state for number in range(3)] == [JobState.STARTING] * 3


def test_a_running_job_without_a_record_takes_no_place_of_its_caller(stores: RedisStores) -> None:
    """Its record may have been lost with a restored backup."""
    limits = CallerLimits(concurrent=1)
    submit(stores, 1, limits=limits)
    assert stores.attempts.claim("w")
    submit(stores, 2, limits=limits)
    assert stores.attempts.claim("w") is None
    stores.redis.delete(f"dr:{{{job_id(1)}}}:job")

    assert stores.maintenance.repair()
    assert stores.maintenance.repair()
    claimed = stores.attempts.claim("w")
    assert claimed
    assert claimed.id == job_id(2)


def test_all_jobs_are_looked_at_quickly_after_each_start_of_the_clock(
    stores: RedisStores, clock: FakeClock, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version may have run since the last start."""
    monkeypatch.setattr(maintenance, "FIRST_REPAIR_STEP", 2)
    for number in range(5):
        submit(stores, number)
    for _ in range(2):
        started = Maintenance(stores.redis, Scripts(stores.redis, test_clock=clock), clock, settings)
        assert [started.repair() for _ in range(4)] == [False, False, True, True]


def test_jobs_of_one_caller_at_several_sites_are_adopted(
    stores: RedisStores, clock: FakeClock, settings: Settings
) -> None:
    """All of its sites are found, though the caller is looked at once."""
    stores = build_stores(stores.redis, clock, settings, extra_recipes=SITES)
    for number in range(9):
        submit(stores, number, SITES[number % 3].name)
    stores.redis.delete(*(f"dr:{name}" for name in INDEXES), *(f"dr:turns:{site.name}" for site in SITES))
    assert stores.attempts.claim("w") is None

    assert stores.maintenance.repair()
    claimed = [stores.attempts.claim("w") for _ in range(10)]
    assert len({job.id for job in claimed if job}) == 9
    assert claimed[-1] is None


def test_a_later_repair_mends_what_another_version_has_left(
    stores: RedisStores, clock: FakeClock, settings: Settings
) -> None:
    """Whatever an index says else than the jobs do, of any caller, and without a new look at each."""
    stores = build_stores(stores.redis, clock, settings, extra_recipes=SITES)
    redis = stores.redis
    owners = [f"owner-{number}" for number in range(7)]
    for number in range(28):
        request = JobRequest(SITES[number % 2].name, "x")
        limits = CallerLimits(concurrent=1) if number % 7 == 6 else NO_LIMITS
        stores.jobs.create(job_id(number), owners[number % 7], request, "r", limits=limits)
    assert stores.maintenance.repair()

    def read_indexes() -> list[object]:
        sorted_sets = [f"dr:{name}" for name in ("places", "weights", "positions", "heads")]
        sorted_sets += [f"dr:turns:{site.name}" for site in SITES]
        hashes = [redis.hgetall(f"dr:{name}") for name in ("shares", "claimable")]
        return [*hashes, *(redis.zrange(key, 0, -1, withscores=True) for key in sorted_sets)]

    before = read_indexes()
    redis.hset("dr:shares", "one|owner-1", 1)
    redis.hincrby("dr:claimable", "one", -1)
    redis.zrem("dr:turns:two", "owner-2")
    redis.zadd("dr:turns:one", {"owner-3": 99})
    redis.zadd("dr:weights", {"owner-4": 9})
    redis.zrem("dr:places", "owner-5|one")
    redis.delete("dr:heads")
    assert stores.maintenance.repair()
    assert stores.maintenance.repair()
    assert read_indexes() == before

    redis.delete("dr:ready:two|owner-3")
    assert stores.maintenance.repair()
    assert redis.zcard("dr:ready:two|owner-3") == 2
    assert read_indexes() == before
