"""Searching jobs: by owner, state, site and words, page by page."""

from dataclasses import replace

import pytest
from redis import Redis

from schemas.jobs.job import JobRequest
from schemas.jobs.lifecycle import JobState
from stores.jobs.job_search import BATCH_SIZE, JobFilter, JobSearch
from stores.redis import scripts
from tests.conftest import FakeClock
from tests.contract.conftest import OWNER, RedisStores


@pytest.fixture
def search(client: Redis, stores: RedisStores) -> JobSearch:
    """The search under test."""
    return JobSearch(client, stores.jobs)


def create(stores: RedisStores, clock: FakeClock, number: int, request: JobRequest, owner: str = OWNER) -> None:
    """Create a job a second after the one before."""
    clock.advance(1)
    stores.jobs.create(f"{number:032x}", owner, request, f"r{number}")


def numbers(search: JobSearch, criteria: JobFilter) -> list[int]:
    """The numbers of the jobs that match."""
    return [int(job.id, 16) for job, _ in search.find_page(criteria).jobs]


def test_filters_are_combined(
    search: JobSearch, stores: RedisStores, clock: FakeClock, job_request: JobRequest
) -> None:
    """A caller sees only their own jobs, the owner all; words may stand anywhere and in any case."""
    create(stores, clock, 1, replace(job_request, prompt="Ein Leuchtturm im STURM"))
    create(stores, clock, 2, replace(job_request, prompt="a storm over the leuchtturm", site="comfyui"))
    create(stores, clock, 3, replace(job_request, prompt="<b>leuchtturm</b>"), owner="other")
    stores.jobs.cancel(f"{1:032x}")

    assert numbers(search, JobFilter(None)) == [3, 2, 1]
    assert numbers(search, JobFilter("other")) == [3]
    assert numbers(search, JobFilter(OWNER, text="leuchtturm")) == [2, 1]
    assert numbers(search, JobFilter(OWNER, text="sturm LEUCHT")) == [1]
    assert numbers(search, JobFilter(None, text="<b>")) == [3]
    assert numbers(search, JobFilter(None, text=f"{2:032x}")) == [2]
    assert numbers(search, JobFilter(OWNER, site="comfyui")) == [2]
    assert numbers(search, JobFilter(None, states=frozenset({JobState.FAILED}))) == [1]


def test_pages_follow_one_another_while_jobs_are_submitted(
    search: JobSearch, stores: RedisStores, clock: FakeClock, job_request: JobRequest
) -> None:
    """No job is missing or twice, also among jobs of the same millisecond and behind a page of others."""
    for number in range(1, 8):
        stores.jobs.create(f"{number:032x}", OWNER, job_request, "r")
    for number in range(10, 10 + BATCH_SIZE):
        create(stores, clock, number, replace(job_request, prompt="no match"))
    criteria = JobFilter(OWNER, text="lighthouse")

    first = search.find_page(criteria, limit=3)
    create(stores, clock, 1000, job_request)
    second = search.find_page(criteria, first.next_cursor, limit=3)
    third = search.find_page(criteria, second.next_cursor, limit=3)

    pages = [[int(job.id, 16) for job, _ in page.jobs] for page in (first, second, third)]
    assert pages == [[7, 6, 5], [4, 3, 2], [1]]
    assert third.next_cursor is None


def test_expired_jobs_are_left_out(
    search: JobSearch, stores: RedisStores, clock: FakeClock, job_request: JobRequest
) -> None:
    """Their ids stay in the index for a while; trimming the lists removes them."""
    create(stores, clock, 1, job_request)
    create(stores, clock, 2, job_request)
    stores.redis.delete(f"dr:{{{1:032x}}}:job")

    assert numbers(search, JobFilter(None)) == [2]

    clock.advance(100)
    stores.maintenance.trim_job_lists(50)
    assert numbers(search, JobFilter(None)) == []


def test_the_latest_jobs_of_each_site_are_found_in_one_pass(
    search: JobSearch, stores: RedisStores, clock: FakeClock, job_request: JobRequest
) -> None:
    """A site whose jobs lie behind many others has its own."""
    create(stores, clock, 1, replace(job_request, site="comfyui"))
    for number in range(10, 10 + BATCH_SIZE):
        create(stores, clock, number, job_request)
    create(stores, clock, 1000, job_request, owner="other")

    states = frozenset({JobState.QUEUED})
    latest = search.find_latest_of_sites(OWNER, states, [job_request.site, "comfyui", "unused"], 2)
    assert {site: [int(job.id, 16) for job in jobs] for site, jobs in latest.items()} == {
        job_request.site: [BATCH_SIZE + 9, BATCH_SIZE + 8],
        "comfyui": [1],
        "unused": [],
    }
    assert search.find_latest_of_sites(OWNER, frozenset({JobState.FAILED}), ["comfyui"], 2) == {"comfyui": []}


def test_a_page_of_jobs_is_read_in_one_round_trip(
    search: JobSearch,
    stores: RedisStores,
    clock: FakeClock,
    job_request: JobRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when Redis has forgotten its scripts; jobs that have expired meanwhile are left out."""
    for number in range(1, 5):
        create(stores, clock, number, job_request)
    stores.redis.script_flush()
    stores.redis.delete(f"dr:{{{2:032x}}}:job")

    def run_one(*_: object) -> None:
        raise AssertionError("A script was run for a single job.")

    monkeypatch.setattr(scripts, "run_script", run_one)
    assert numbers(search, JobFilter(OWNER)) == [4, 3, 1]
    assert [int(job.id, 16) for job, _ in stores.jobs.list_page(OWNER, None, 10)[0]] == [4, 3, 1]
    assert stores.jobs.get_existing([]) == []
