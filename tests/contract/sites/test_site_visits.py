"""Visits of sites besides jobs wait for their turn, and for the pauses that a site asks for meanwhile."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from playwright.async_api import BrowserContext

from schemas.errors import SiteBusy
from stores import Stores
from stores.sites.recipes import Recipes
from tests.conftest import FakeClock
from tests.contract.conftest import ExtendedRecipes, RedisStores
from workers.browsers.pool import BrowserPool
from workers.jobs import site_access
from workers.jobs.site_access import OnFlood, SiteVisits

STUDIO = Recipes("studio").default
CALM = replace(STUDIO, name="calm", limits=replace(STUDIO.limits, min_interval_s=2.0))


class Visitor:
    """Visits the site, and notes when each visit begins, in ms since the first one could."""

    def __init__(self, stores: RedisStores, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.breakers, self.clock, self.start_ms = stores.circuit_breakers, clock, clock.now_ms()
        self.pauses_ms: list[int] = []
        self.begins_ms: list[int] = []
        known = SimpleNamespace(circuit_breakers=self.breakers, recipes=ExtendedRecipes((CALM,)))
        pool = SimpleNamespace(lease=lambda *_: nullcontext())
        self.visits = SiteVisits(cast(Stores, known), cast(BrowserPool, pool))
        monkeypatch.setattr(site_access, "asyncio", SimpleNamespace(**vars(asyncio) | {"sleep": self.sleep}))

    async def sleep(self, seconds: float) -> None:
        """Let time pass; a site may ask for a pause at the begin of it."""
        if self.pauses_ms:
            self.breakers.pause("calm", self.pauses_ms.pop(0))
        self.clock.advance(seconds)

    def visit(self) -> None:
        """Visit the site once."""

        async def work(_context: BrowserContext, _on_flood: OnFlood) -> Any:
            self.begins_ms.append(self.clock.now_ms() - self.start_ms)

        asyncio.run(self.visits.visit(CALM, None, work, timeout_s=5, turn="calm"))


@pytest.fixture
def visitor(stores: RedisStores, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    """A visitor who has visited the site just now."""
    visitor = Visitor(stores, clock, monkeypatch)
    visitor.visit()
    return visitor


def test_visits_keep_the_interval(visitor: Visitor) -> None:
    """Each waits for its turn."""
    visitor.visit()
    visitor.visit()

    assert visitor.begins_ms == [0, 2_000, 4_000]


def test_a_pause_that_begins_while_a_visit_waits_is_kept(visitor: Visitor) -> None:
    """A visit waits for the end of a short pause, and does not begin if the pause is too long."""
    visitor.pauses_ms = [3_000]
    visitor.visit()
    # A turn was taken before the pause began, and another one after it.
    assert visitor.begins_ms[1] >= 3_000

    visitor.pauses_ms = [60_000]
    with pytest.raises(SiteBusy, match="may begin in 58 s"):
        visitor.visit()
    assert len(visitor.begins_ms) == 2
