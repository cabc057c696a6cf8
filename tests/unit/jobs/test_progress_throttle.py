"""Throttling of progress and preview updates."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from schemas.errors import SiteRefused
from schemas.jobs.job import Progress
from tests.conftest import TIMEOUT_S
from workers.jobs.progress_throttle import MAX_PROGRESS_UPDATES, MAX_UPDATES, Update, Updates, throttle


def split(updates: Updates) -> list[Update]:
    """Return the updates that have passed together."""
    return [update for update in (updates.progress, updates.preview) if update is not None]


def collect(updates: AsyncIterator[Update], window_s: float) -> list[Update]:
    """Return the updates that pass the throttle, of those that pass together the progress first."""

    async def run() -> list[Update]:
        async with asyncio.timeout(TIMEOUT_S):
            return [update async for together in throttle(updates, window_s) for update in split(together)]

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
        async for together in throttle(page(), 0.02):
            collected.extend(split(together))
            if awaited <= set(collected):
                done.set()
    return collected


def test_a_few_updates_pass_unchanged() -> None:
    """Below the limit nothing is lost, also at the end of the page."""
    updates = [Progress(25.0), b"one", Progress(50.0), b"two", Progress(75.0)]

    assert updates[:4] == collect(burst(*updates[:4]), 60.0)
    assert updates[:3] == collect(burst(*updates[:3]), 60.0)


def test_progress_and_a_preview_that_come_together_pass_together() -> None:
    """Whichever comes first waits for the other, and not for long if none comes."""

    async def run() -> list[Updates]:
        async with asyncio.timeout(TIMEOUT_S):
            return [together async for together in throttle(burst(b"one", Progress(25.0), Progress(50.0), b"two"))]

    assert [Updates(Progress(25.0), b"one"), Updates(Progress(50.0), b"two")] == asyncio.run(run())
    assert asyncio.run(collect_until([Progress(25.0)], {Progress(25.0)})) == [Progress(25.0)]


def test_only_the_newest_updates_of_a_burst_follow_later() -> None:
    """The newest of each kind passes at once, and again while the page goes on."""
    updates: list[Update] = [Progress(float(number)) for number in range(50)]

    collected = asyncio.run(
        collect_until([*updates, b"one", *updates[:7], b"old", *updates[:9], b"new"], {updates[8], b"new"})
    )

    assert collected[:2] == [updates[-1], b"one"]
    assert {updates[8], b"new"} <= set(collected)
    assert len(collected) < 10


def test_progress_leaves_room_for_previews() -> None:
    """More previews than reports of progress pass in one window."""
    updates: list[Update] = [Progress(1.0), b"one", Progress(2.0), b"two", Progress(3.0), b"three"]

    assert updates[:MAX_UPDATES] == collect(burst(*updates), 60.0)
    assert MAX_PROGRESS_UPDATES < MAX_UPDATES


def test_delayed_updates_are_dropped_at_the_end() -> None:
    """The end is not delayed by them."""
    pairs = [(Progress(float(number)), b"%d" % number) for number in range(50)]
    updates: list[Update] = [update for pair in pairs for update in pair]

    assert updates[:MAX_UPDATES] == collect(burst(*updates), 60.0)


def test_an_error_of_the_page_is_propagated() -> None:
    """The throttle does not swallow it."""

    async def refuse() -> AsyncIterator[Update]:
        yield b"one"
        raise SiteRefused("no")

    with pytest.raises(SiteRefused):
        collect(refuse(), 1.0)
