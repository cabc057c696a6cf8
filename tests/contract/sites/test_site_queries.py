"""Site queries: sent once, answered for all callers, cached."""

import threading
from typing import Any

import pytest
from redis import Redis

from stores.sites.site_queries import SiteQueries
from tests.conftest import FakeClock, eventually

ASK: dict[str, Any] = {"max_age_s": 60, "timeout_s": 5.0}


class FakeQueue:
    """A queue that only records messages."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []

    def send(self, *message: str) -> None:
        """Record a message."""
        self.sent.append(message)


@pytest.fixture
def queue() -> FakeQueue:
    """The messages to workers."""
    return FakeQueue()


@pytest.fixture
def site_queries(client: Redis, clock: FakeClock, queue: FakeQueue) -> SiteQueries:
    """The store under test."""
    return SiteQueries(client, queue, clock)  # type: ignore[arg-type] # only its send is used


def test_a_fresh_answer_is_cached(site_queries: SiteQueries, queue: FakeQueue, clock: FakeClock) -> None:
    """White space and case make no difference; a stale answer is requested again."""
    site_queries.store_answer("search", "studio", "Oil  paint", ["a"])

    assert site_queries.ask("search", "studio", " oil paint ", **ASK) == (["a"], True)
    assert not queue.sent
    clock.advance(61)
    assert site_queries.ask("search", "studio", "oil paint", max_age_s=60, timeout_s=0.05) == (["a"], False)
    assert queue.sent == [("search", "studio", "oil paint")]


def test_all_waiting_callers_get_the_answer(site_queries: SiteQueries, queue: FakeQueue) -> None:
    """Three callers cause one message."""
    answers: list[Any] = []
    waiting = [
        threading.Thread(target=lambda: answers.append(site_queries.ask("search", "studio", "ink", **ASK)))
        for _ in range(3)
    ]
    for thread in waiting:
        thread.start()
    site_queries.store_answer("search", "studio", "ink", ["found"])
    for thread in waiting:
        thread.join()

    assert answers == [(["found"], True)] * 3
    assert len(queue.sent) <= 1


def test_an_empty_answer_is_an_answer(site_queries: SiteQueries) -> None:
    """An empty result is not the same as no result."""
    site_queries.store_answer("search", "studio", "xyzzy", [])

    assert site_queries.ask("search", "studio", "xyzzy", **ASK) == ([], True)


def test_a_failure_wakes_all_callers(site_queries: SiteQueries, queue: FakeQueue) -> None:
    """They wake long before their timeout."""
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(site_queries.ask("search", "studio", "ink", **ASK)))
    waiting.start()
    eventually(lambda: queue.sent)
    site_queries.report_failure("search", "studio", "ink")
    waiting.join(60)

    assert answers == [(None, False)]


def test_without_timeout_nothing_is_asked(site_queries: SiteQueries, queue: FakeQueue) -> None:
    """Only a cached answer is returned."""
    assert site_queries.ask("search", "studio", "ink", max_age_s=60, timeout_s=0) == (None, False)
    assert not queue.sent
