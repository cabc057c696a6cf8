"""The jobs of one request, for clients that ask for "what runs now"."""

import pytest

from schemas.jobs.job import JobRequest
from stores.compat.request_groups import RequestGroups
from tests.conftest import FakeClock
from tests.contract.conftest import RedisStores

OWNER = "alice"


@pytest.fixture
def groups(stores: RedisStores, clock: FakeClock) -> RequestGroups:
    """The groups under test."""
    return RequestGroups(stores.redis, clock, stores.jobs)


def submit(stores: RedisStores, groups: RequestGroups, clock: FakeClock, *ids: str) -> None:
    """Create the jobs of a request."""
    clock.advance(0.01)
    for job_id in ids:
        stores.jobs.create(job_id, OWNER, JobRequest("studio", "a harbour"), "r")
    groups.add(OWNER, ids)


def current_ids(groups: RequestGroups, owner: str = OWNER) -> list[str]:
    """The jobs of the current group."""
    group = groups.find_current(owner)
    return [job.id for job, _ in group.jobs] if group else []


def test_the_oldest_open_request_is_the_current_one(
    stores: RedisStores, groups: RequestGroups, clock: FakeClock
) -> None:
    """It is that as long as one of its jobs has not ended, and the ended ones still belong to it."""
    first, second, third = ("f" * 32, "0" * 32, "1" * 32)
    submit(stores, groups, clock, first, second)
    submit(stores, groups, clock, third)

    stores.jobs.cancel(first)
    group = groups.find_current(OWNER)
    assert group
    assert [job.id for job, _ in group.jobs] == [first, second]
    assert [job.id for job in group.open_jobs] == [second]
    stores.jobs.cancel(second)
    assert current_ids(groups) == [third]
    stores.jobs.cancel(third)
    assert current_ids(groups) == []


def test_jobs_of_others_and_of_other_apis_are_not_there(
    stores: RedisStores, groups: RequestGroups, clock: FakeClock
) -> None:
    """A caller has its own groups, of the jobs that were recorded."""
    stores.jobs.create("2" * 32, OWNER, JobRequest("studio", "a harbour"), "r")
    assert current_ids(groups) == []
    submit(stores, groups, clock, "3" * 32)

    assert current_ids(groups) == ["3" * 32]
    assert current_ids(groups, "bob") == []


def test_expired_jobs_are_forgotten(stores: RedisStores, groups: RequestGroups, clock: FakeClock) -> None:
    """A group without a record left does not hide the next one."""
    groups.add(OWNER, ["4" * 32])
    submit(stores, groups, clock, "5" * 32)

    assert current_ids(groups) == ["5" * 32]
