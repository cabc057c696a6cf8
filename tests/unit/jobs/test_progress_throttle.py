"""The pace at which a page's news is passed on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from schemas.errors import SiteRefused
from schemas.jobs.job import Progress
from tests.conftest import TIMEOUT_S
from workers.jobs.progress_throttle import MAX_PROGRESS_UPDATES, MAX_UPDATES, Update, throttle


def passed_on(shown: AsyncIterator[Update], window_s: float) -> list[Update]:
    """All that is passed on."""

    async def run() -> list[Update]:
        async with asyncio.timeout(TIMEOUT_S):
            return [one async for one in throttle(shown, window_s)]

    return asyncio.run(run())


async def in_a_rush(*shown: Update) -> AsyncIterator[Update]:
    """All at once."""
    for one in shown:
        yield one


def test_what_comes_slowly_is_passed_on_as_it_comes() -> None:
    """Nothing waits."""
    news = [Progress(25.0), b"one", Progress(50.0), b"two"]

    assert news == passed_on(in_a_rush(*news), 60.0)


async def until_seen(shown: list[Update], last: set[Update]) -> list[Update]:
    """What is passed on of a rush until all of ``last`` has been; the page goes on until then."""
    over = asyncio.Event()
    seen: list[Update] = []

    async def page() -> AsyncIterator[Update]:
        for one in shown:
            yield one
        await over.wait()

    async with asyncio.timeout(TIMEOUT_S):
        async for one in throttle(page(), 0.02):
            seen.append(one)
            if last <= set(seen):
                over.set()
    return seen


def test_of_a_rush_the_newest_of_each_kind_comes_later() -> None:
    """A few at once, the rest by what it came to, while the page goes on."""
    rush = [Progress(float(number)) for number in range(50)]

    seen = asyncio.run(until_seen([*rush, b"old", b"new"], {rush[-1], b"new"}))

    assert rush[:MAX_PROGRESS_UPDATES] == seen[:MAX_PROGRESS_UPDATES]
    assert seen[-1] in {rush[-1], b"new"}
    assert len(seen) < 10


def test_progress_leaves_room_for_previews() -> None:
    """Although there is more of it, and it comes first."""
    rush: list[Update] = [*(Progress(float(number)) for number in range(MAX_UPDATES)), b"one", b"two"]

    assert [*rush[:MAX_PROGRESS_UPDATES], b"one", b"two"] == passed_on(in_a_rush(*rush), 60.0)


def test_what_still_waits_at_the_end_is_left_out() -> None:
    """The end is told by itself, and at once."""
    rush: list[Update] = [*(b"%d" % number for number in range(50)), *(Progress(float(number)) for number in range(50))]

    assert rush[:MAX_UPDATES] == passed_on(in_a_rush(*rush), 60.0)


def test_an_error_of_the_page_passes() -> None:
    """As if nobody stood between."""

    async def refuses() -> AsyncIterator[Update]:
        yield b"one"
        raise SiteRefused("no")

    with pytest.raises(SiteRefused):
        passed_on(refuses(), 1.0)
