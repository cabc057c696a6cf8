"""Requests the messages that a page has missed while its connection was lost.

A program may finish a picture while the page is not connected, and then never says so again. So from the first loss on,
or from the submission if the page is not connected by then, the recipe's ``observe.missed`` is requested until the
generation ends, and an answer is read as a message once it has come twice: what the page has yet to receive comes
first.
"""

import asyncio
import contextlib

from playwright.async_api import Error, Page

from schemas.sites.recipe import Recipe
from schemas.sites.templates import render_url
from workers.sites.driver.generation.program_stop import ProgramStop
from workers.sites.observer.observer import Observer

INTERVAL_S = 1.0
TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024


class MissedMessages:
    """Requests the missed messages of one generation, between ``start`` and ``stop``."""

    def __init__(self, page: Page, recipe: Recipe, observer: Observer, program_stop: ProgramStop) -> None:
        self._page = page
        self._recipe = recipe
        self._observer = observer
        self._program_stop = program_stop
        self._task: asyncio.Task[None] | None = None
        self._last_body = b""

    def start(self) -> None:
        """Start the requests, if the recipe has a URL for them and they have not started yet."""
        if self._recipe.observe.missed and self._task is None:
            self._task = asyncio.ensure_future(self._ask_repeatedly(self._recipe.observe.missed))

    async def stop(self) -> None:
        """Stop the requests."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _ask_repeatedly(self, url: str) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            submission_id = await self._program_stop.submission_id()
            # Without the id, the answer could be about another job.
            if submission_id or "{{id}}" not in url:
                with contextlib.suppress(Error, UnicodeDecodeError):
                    await self._ask(render_url(url, self._recipe.url, {"id": submission_id}))

    async def _ask(self, url: str) -> None:
        response = await self._page.context.request.get(url, timeout=1000 * TIMEOUT_S)
        try:
            body = await response.body() if response.ok else b""
        finally:
            await response.dispose()
        if 0 < len(body) <= MAX_ANSWER_BYTES and body == self._last_body:
            self._observer.read_missed(body.decode())
        self._last_body = body
