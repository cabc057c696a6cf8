"""Questions to sites: asked once, answered for everybody, kept for a while."""

import threading
from typing import Any

import pytest
from redis import Redis

from stores.sites.site_queries import SiteQueries
from tests.conftest import FakeClock, eventually

ASK: dict[str, Any] = {"max_age_s": 60, "timeout_s": 5.0}


class Questions:
    """A queue that only notes what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []

    def send(self, *words: str) -> None:
        """Note a message."""
        self.sent.append(words)


@pytest.fixture
def questions() -> Questions:
    """What was asked of the workers."""
    return Questions()


@pytest.fixture
def lookups(client: Redis, clock: FakeClock, questions: Questions) -> SiteQueries:
    """The store under test."""
    return SiteQueries(client, questions, clock)  # type: ignore[arg-type] # only its send is used


def test_a_fresh_answer_is_given_again(lookups: SiteQueries, questions: Questions, clock: FakeClock) -> None:
    """Without asking, until it is no longer fresh; white space and case make no difference."""
    lookups.store_answer("search", "studio", "Oil  paint", ["a"])

    assert lookups.ask("search", "studio", " oil paint ", **ASK) == (["a"], True)
    assert not questions.sent
    clock.advance(61)
    assert lookups.ask("search", "studio", "oil paint", max_age_s=60, timeout_s=0.05) == (["a"], False)
    assert questions.sent == [("search", "studio", "oil paint")]


def test_everybody_who_waits_gets_the_answer(lookups: SiteQueries, questions: Questions) -> None:
    """Three ask at once, the site is asked once."""
    got: list[Any] = []
    waiting = [
        threading.Thread(target=lambda: got.append(lookups.ask("search", "studio", "ink", **ASK))) for _ in range(3)
    ]
    for thread in waiting:
        thread.start()
    lookups.store_answer("search", "studio", "ink", ["found"])
    for thread in waiting:
        thread.join()

    assert got == [(["found"], True)] * 3
    assert len(questions.sent) <= 1


def test_an_empty_answer_is_an_answer(lookups: SiteQueries) -> None:
    """Nothing found is not the same as nothing known."""
    lookups.store_answer("search", "studio", "xyzzy", [])

    assert lookups.ask("search", "studio", "xyzzy", **ASK) == ([], True)


def test_nobody_waits_for_a_site_that_gave_up(lookups: SiteQueries, questions: Questions) -> None:
    """Its failure wakes who waits, long before their patience ends."""
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(lookups.ask("search", "studio", "ink", **ASK)))
    waiting.start()
    eventually(lambda: questions.sent)
    lookups.report_failure("search", "studio", "ink")
    waiting.join(10)

    assert got == [(None, False)]


def test_without_patience_nothing_is_asked(lookups: SiteQueries, questions: Questions) -> None:
    """Where no worker could answer, what is known must do."""
    assert lookups.ask("search", "studio", "ink", max_age_s=60, timeout_s=0) == (None, False)
    assert not questions.sent
