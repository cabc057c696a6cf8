"""Throttling of progress and preview updates."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from schemas.errors import SiteRefused
from schemas.jobs.job import Progress
from tests.conftest import TIMEOUT_S
from workers.jobs.progress_throttle import MAX_PROGRESS_UPDATES, MAX_UPDATES, Update, throttle


def collect(updates: AsyncIterator[Update], window_s: float) -> list[Update]:
    """Return the updates that pass the throttle."""

    async def run() -> list[Update]:
        async with asyncio.timeout(TIMEOUT_S):
            return [update async for update in throttle(updates, window_s)]

    return asyncio.run(run())


async def burst(*updates: Update) -> AsyncIterator[Update]:
    """Yield all updates at once."""
    for update in updates:
        yield update


async def collect_until(updates: list[Update], awaited: set[Update]) -> list[Update]:
    """Return what passes of a burst until all ``awaited`` updates have; the page stays open until then."""
    done = asyncio.Event()
    collected: list[Update] = []

    async def page() -> AsyncIterator[Update]:
        for update in updates:
            yield update
        await done.wait()

    async with asyncio.timeout(TIMEOUT_S):
        async for update in throttle(page(), 0.02):
            collected.append(update)
            if awaited <= set(collected):
                done.set()
    return collected


def test_a_few_updates_pass_unchanged() -> None:
    """Below the limit nothing is delayed."""
    updates = [Progress(25.0), b"one", Progress(50.0), b"two"]

    assert updates == collect(burst(*updates), 60.0)


def test_only_the_newest_updates_of_a_burst_follow_later() -> None:
    """The first few pass at once; then the newest of each kind passes while the page goes on."""
    updates = [Progress(float(number)) for number in range(50)]

    collected = asyncio.run(collect_until([*updates, b"old", b"new"], {updates[-1], b"new"}))

    assert updates[:MAX_PROGRESS_UPDATES] == collected[:MAX_PROGRESS_UPDATES]
    assert collected[-1] in {updates[-1], b"new"}
    assert len(collected) < 10


def test_progress_leaves_room_for_previews() -> None:
    """Previews pass in the same window although progress updates came first."""
    updates: list[Update] = [*(Progress(float(number)) for number in range(MAX_UPDATES)), b"one", b"two"]

    assert [*updates[:MAX_PROGRESS_UPDATES], b"one", b"two"] == collect(burst(*updates), 60.0)


def test_delayed_updates_are_dropped_at_the_end() -> None:
    """The end is not delayed by them."""
    updates: list[Update] = [
        *(b"%d" % number for number in range(50)),
        *(Progress(float(number)) for number in range(50)),
    ]

    assert updates[:MAX_UPDATES] == collect(burst(*updates), 60.0)


def test_an_error_of_the_page_is_propagated() -> None:
    """The throttle does not swallow it."""

    async def refuse() -> AsyncIterator[Update]:
        yield b"one"
        raise SiteRefused("no")

    with pytest.raises(SiteRefused):
        collect(refuse(), 1.0)
