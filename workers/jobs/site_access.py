"""Access to a site: the permission to visit it, and visits besides jobs, under the same rules as those."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from playwright.async_api import BrowserContext

from schemas.errors import BrowserLost, ServiceError, SiteBusy, SiteUnavailable
from schemas.sites.recipe import Recipe
from stores import Stores
from workers.browsers.pool import BrowserPool
from workers.jobs.attempt import TaskInterrupter

MAX_TURN_WAIT_MS = 5_000
TURN_POLL_MS = 250

T = TypeVar("T")
OnFlood = Callable[[ServiceError], None]
# The work of a visit; its second argument ends the visit of a page that floods the browser.
Work = Callable[[BrowserContext, OnFlood], Awaitable[T]]


def authorize_visit(stores: Stores, recipe: Recipe) -> dict[str, Any] | None:
    """Check that the site's terms are accepted, and return its storage state (None without credentials); blocking.

    Called once for each visit. Requests check the terms too, but only to reject early: the terms of a recipe may
    change while a job is queued.

    Raises:
        Forbidden: the site's current terms have not been accepted.
        NeedsHuman: the site needs credentials that are not stored, or they cannot be decrypted.
    """
    stores.accepted_terms.require(recipe)
    return stores.credentials.load(recipe)


class SiteVisits:
    """Visits in the browser of one worker."""

    def __init__(self, stores: Stores, browsers: BrowserPool) -> None:
        self._stores = stores
        self._browsers = browsers

    async def visit(
        self, recipe: Recipe, storage_state: dict[str, Any] | None, work: Work[T], *, timeout_s: float, turn: str | None
    ) -> T:
        """Return what ``work`` returns, within ``timeout_s`` of the visit's begin.

        ``storage_state`` is that of ``authorize_visit``. ``turn`` is the site whose turn the visit takes: it waits for
        the minimum interval and reserves the next one, as a claim of a job does. If the site asks for a pause, it gets
        one.

        Raises:
            SiteBusy: the site's circuit is open, or it is paused for longer than MAX_TURN_WAIT_MS.
            SiteUnavailable: the time is over.
            PageFloods, BrowserLost: the visit was ended.
        """
        if turn is not None:
            await self._wait_for_turn(turn)
        try:
            return await self._visit(recipe, storage_state, work, timeout_s)
        except SiteBusy as error:
            if turn is not None and error.retry_after_s:
                pause_ms = 1000 * error.retry_after_s
                await asyncio.to_thread(self._stores.circuit_breakers.pause, turn, pause_ms)
            raise

    async def _visit(self, recipe: Recipe, storage_state: dict[str, Any] | None, work: Work[T], timeout_s: float) -> T:
        interrupter = TaskInterrupter()
        on_lost = partial(interrupter.interrupt, BrowserLost())
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._browsers.lease(on_lost, recipe.direct_hosts, storage_state) as context,
            ):
                return await work(context, interrupter.interrupt)
        except TimeoutError as error:
            raise SiteUnavailable(f"{recipe.name} did not answer within {timeout_s:g} s.") from error
        except asyncio.CancelledError:
            if interrupter.interruption is None:
                raise
            raise interrupter.interruption from None
        finally:
            interrupter.close()

    async def _wait_for_turn(self, site: str) -> None:
        """Wait for a turn at the site that does not fall into a pause that the site asked for."""
        circuit_breakers = self._stores.circuit_breakers
        interval_ms = round(1000 * self._stores.recipes.get_limits(site).min_interval_s)
        left_ms = MAX_TURN_WAIT_MS
        while True:
            circuit = (await asyncio.to_thread(circuit_breakers.read, [site]))[site]
            if circuit.is_open:
                raise _busy(site, (circuit.error or "its circuit breaker is open").rstrip("."))
            wait_ms = await asyncio.to_thread(circuit_breakers.reserve_visit, site, interval_ms, left_ms)
            if wait_ms > left_ms:
                raise _busy(site, f"its next visit may begin in {math.ceil(wait_ms / 1000)} s")
            if wait_ms == 0:
                return
            if wait_ms < 0:
                # Another Redis server has the turn.
                if left_ms < TURN_POLL_MS:
                    raise _busy(site, "other visits go first")
                await asyncio.sleep(TURN_POLL_MS / 1000)
                left_ms -= TURN_POLL_MS
                continue
            await asyncio.sleep(wait_ms / 1000)
            left_ms -= wait_ms
            if not await asyncio.to_thread(circuit_breakers.is_paused, site):
                return


def _busy(site: str, reason: str) -> SiteBusy:
    return SiteBusy(f"{site} cannot be visited now: {reason}.")
