"""The pace at which a page's news is passed on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from schemas.errors import SiteRefused
from schemas.jobs.job import Progress
from tests.conftest import DEADLINE_S
from workers.jobs.progress_throttle import MOST, MOST_PROGRESS, Shown, paced


def passed_on(shown: AsyncIterator[Shown], window_s: float) -> list[Shown]:
    """All that is passed on."""

    async def run() -> list[Shown]:
        async with asyncio.timeout(DEADLINE_S):
            return [one async for one in paced(shown, window_s)]

    return asyncio.run(run())


async def in_a_rush(*shown: Shown) -> AsyncIterator[Shown]:
    """All at once."""
    for one in shown:
        yield one


def test_what_comes_slowly_is_passed_on_as_it_comes() -> None:
    """Nothing waits."""
    news = [Progress(25.0), b"one", Progress(50.0), b"two"]

    assert news == passed_on(in_a_rush(*news), 60.0)


async def until_seen(shown: list[Shown], last: set[Shown]) -> list[Shown]:
    """What is passed on of a rush until all of ``last`` has been; the page goes on until then."""
    over = asyncio.Event()
    seen: list[Shown] = []

    async def page() -> AsyncIterator[Shown]:
        for one in shown:
            yield one
        await over.wait()

    async with asyncio.timeout(DEADLINE_S):
        async for one in paced(page(), 0.02):
            seen.append(one)
            if last <= set(seen):
                over.set()
    return seen


def test_of_a_rush_the_newest_of_each_kind_comes_later() -> None:
    """A few at once, the rest by what it came to, while the page goes on."""
    rush = [Progress(float(number)) for number in range(50)]

    seen = asyncio.run(until_seen([*rush, b"old", b"new"], {rush[-1], b"new"}))

    assert rush[:MOST_PROGRESS] == seen[:MOST_PROGRESS]
    assert seen[-1] in {rush[-1], b"new"}
    assert len(seen) < 10


def test_progress_leaves_room_for_previews() -> None:
    """Although there is more of it, and it comes first."""
    rush: list[Shown] = [*(Progress(float(number)) for number in range(MOST)), b"one", b"two"]

    assert [*rush[:MOST_PROGRESS], b"one", b"two"] == passed_on(in_a_rush(*rush), 60.0)


def test_what_still_waits_at_the_end_is_left_out() -> None:
    """The end is told by itself, and at once."""
    rush: list[Shown] = [*(b"%d" % number for number in range(50)), *(Progress(float(number)) for number in range(50))]

    assert rush[:MOST] == passed_on(in_a_rush(*rush), 60.0)


def test_an_error_of_the_page_passes() -> None:
    """As if nobody stood between."""

    async def refuses() -> AsyncIterator[Shown]:
        yield b"one"
        raise SiteRefused("no")

    with pytest.raises(SiteRefused):
        passed_on(refuses(), 1.0)
