"""One generation on a page, from the submission of the prompt to its pictures.

Decides from the observations of the page whether it works, has finished, or has failed. Only pictures that were not
there when the prompt was submitted count, and only once the page says that it has finished.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from playwright.async_api import Error, Page

from ops.processes.tracing import span
from schemas.errors import BrowserLost, NeedsHuman, NoPicture, PageFloods, ServiceError, SiteUnavailable
from schemas.jobs.job import GeneratedImage, Progress
from schemas.sites.observe import ErrorSpec
from schemas.sites.recipe import Recipe, Step
from workers.sites.driver.capture.browser_fetch import fetch_url
from workers.sites.driver.capture.image_capture import ImageCapture
from workers.sites.driver.generation.missed_messages import MissedMessages
from workers.sites.driver.generation.page_connections import PageConnections
from workers.sites.driver.generation.page_errors import (
    RECONNECT_WAIT_S,
    build_error,
    classify,
    is_bare,
    read_error_text,
    recovery_s,
)
from workers.sites.driver.generation.program_stop import ProgramStop
from workers.sites.driver.playwright_errors import translate_playwright_errors
from workers.sites.driver.selectors import ElementFinder, format_chain
from workers.sites.observer.observer import Observation, Observer, parse_progress
from workers.sites.policy.robots import PolitenessPolicy

# Seconds of stillness after which a page has finished although its sign of work never appeared, or never disappeared:
# after a request that may have carried the generation, without one, with a stream that may bring news, and with a sign
# of work that stays visible.
QUIET_AFTER_WORK_S = 1.0
QUIET_S = 5.0
QUIET_WITH_STREAM_S = 15.0
QUIET_WHILE_BUSY_S = 10.0
# The last picture belongs to a request if it appeared at most this long after the end of that request.
WORK_TO_PICTURE_S = 2.0
# Progress and previews that arrive this soon after the page has lost its connection are from before.
LATE_NEWS_S = 1.5
PROBE_TIMEOUT_S = 5.0
MAX_WORDS_CHARS = 300


class Generation:
    """Watches one generation; ``images`` are its pictures once ``watch`` has ended."""

    def __init__(
        self,
        page: Page,
        recipe: Recipe,
        observer: Observer,
        *,
        capture: ImageCapture,
        finder: ElementFinder,
        politeness: PolitenessPolicy,
        program_stop: ProgramStop,
        run_steps: Callable[[tuple[Step, ...]], Awaitable[None]],
    ) -> None:
        self._page = page
        self._recipe = recipe
        self._observer = observer
        self._capture = capture
        self._finder = finder
        self._politeness = politeness
        self._program_stop = program_stop
        self._run_steps = run_steps
        self._connections = PageConnections()
        self._connections.listen(page)
        self._missed = MissedMessages(page, recipe, observer, program_stop)
        self._urls: dict[int, list[str]] = {}
        self._is_announced = False
        # The error that ends the attempt unless the page recovers in time.
        self._lost: ServiceError | None = None
        self._lost_words = ""
        self._lost_at = 0.0
        self._recover_until: float | None = None
        self.images: list[GeneratedImage] = []

    async def begin(self, given: Iterable[bytes] = ()) -> None:
        """Remember what the page shows; from here on, changes belong to this generation.

        ``given`` are the pictures of the job's inputs, which the page may show at any time.
        """
        await self._capture.remember(await self._observer.arm(self._page))
        for data in given:
            self._capture.remember_bytes(data)
        self._connections.start()
        self._program_stop.record_submission()

    async def watch(self) -> AsyncIterator[Progress | bytes]:
        """Yield progress and previews (JPEG) until the pictures are captured.

        Raises:
            SiteRefused, SiteFailed, SiteUnavailable, SiteBusy: the page shows an error of that kind.
            NoPicture: the page has finished without a new picture.
            NeedsHuman: the page asks for a person.
            SiteBusy: the site asks for a pause.
            SiteChanged: a picture of the page cannot be fetched.
            BrowserLost: the page was closed.
        """
        if self._recipe.observe.done.frames and not self._observer.is_connected:
            self._missed.start()
        try:
            while not self.images:
                observation = await self._next_observation()
                if observation is None:
                    continue
                self._record_match(observation)
                self._program_stop.record_observation(observation)
                if observation.kind in ("progress", "preview"):
                    if time.monotonic() >= self._lost_at + LATE_NEWS_S:
                        self._recover()
                    update = await self._to_update(observation)
                    if update is not None:
                        yield update
                else:
                    await self._handle(observation)
        finally:
            await self._missed.stop()

    async def _next_observation(self) -> Observation | None:
        """Return the next observation; None if the page has recovered from a lost connection in the meantime."""
        try:
            timeout_s = None if self._recover_until is None else max(0, self._recover_until - time.monotonic())
            async with asyncio.timeout(timeout_s):
                return await self._observer.next_observation()
        except TimeoutError:
            if self._lost and not await self._has_recovered():
                raise self._lost from None
            self._recover()
            return None

    async def _handle(self, observation: Observation) -> None:
        if self._politeness.busy_error:
            raise self._politeness.busy_error
        handler = getattr(self, f"_on_{observation.kind}", None)
        if handler:
            await handler(observation)

    async def _on_done(self, observation: Observation) -> None:
        """The page shows or announces a result."""
        if self._lost and observation.selector and not await self._has_recovered():
            # A preview that stayed when the connection was lost is no result: wait for another picture.
            await self._page.evaluate("() => window.__darkroom.reject()")
            return
        self._recover()
        self._is_announced = True
        self._urls.setdefault(observation.entry, []).extend(observation.urls)
        if observation.selector or self._recipe.observe.until is None:
            await self._finish()

    async def _on_until(self, _observation: Observation) -> None:
        """The program says that the generation has ended."""
        self._recover()
        observe = self._recipe.observe
        if self._is_announced or not (observe.done.selectors or self._recipe.capture.source == "download"):
            await self._finish()
        else:
            await self._page.evaluate("() => window.__darkroom.end()")

    async def _on_empty(self, observation: Observation) -> None:
        """The page has stopped working and shows nothing new."""
        self._raise_no_picture(observation.text)

    async def _on_still(self, observation: Observation) -> None:
        """The page shows no sign of the end, but nothing has changed for a while."""
        try:
            quiet_ms, state, content = observation.text.split()
            quiet_s = min(float(quiet_ms) / 1000, self._connections.quiet_s)
        except ValueError:
            return
        if self._recipe.observe.until is not None or self._lost:
            return
        since_work = self._connections.seconds_since_work()
        has_worked = (
            since_work is not None
            and since_work >= quiet_s - WORK_TO_PICTURE_S
            and since_work - quiet_s < WORK_TO_PICTURE_S
        )
        if content == "pictures":
            if self._connections.has_other_stream:
                # The request may only have submitted the prompt, and the pictures come with the stream.
                needed_s = QUIET_WITH_STREAM_S
            else:
                needed_s = QUIET_AFTER_WORK_S if has_worked else QUIET_S
            if quiet_s >= max(needed_s, QUIET_WHILE_BUSY_S if state == "busy" else 0):
                await self._finish()
        elif state == "idle" and since_work is not None:
            factor = 6 if self._connections.has_other_stream else 1
            if quiet_s >= factor * self._recipe.observe.done.empty_ms / 1000:
                self._raise_no_picture(str(await self._page.evaluate("() => window.__darkroom.newWords()")))

    async def _on_error(self, observation: Observation) -> None:
        errors = self._recipe.observe.error
        if observation.entry >= len(errors):
            return
        spec = errors[observation.entry]
        words = read_error_text(spec, observation.text)
        if words is None:
            return
        kind = classify(spec, words)
        error, wait_s = build_error(kind, words), recovery_s(spec, kind, words)
        if not wait_s:
            self._program_stop.record_end()
            if is_bare(words) and not await self._site_answers():
                # Pages show the same bare word for an exception and for a program that has died.
                raise SiteUnavailable("The page shows an error without words, and its site does not answer any more.")
            raise error
        self._lose(error, observation.text, wait_s)

    async def _on_human(self, observation: Observation) -> None:
        raise NeedsHuman(f"The site asks for a person: {observation.text}")

    async def _on_closed(self, _observation: Observation) -> None:
        raise BrowserLost("The page was closed before it showed a result.")

    async def _on_flood(self, observation: Observation) -> None:
        raise PageFloods(observation.text)

    async def _on_disconnected(self, _observation: Observation) -> None:
        """The page has lost its last connection."""
        self._missed.start()
        if self._recipe.observe.done.frames:
            self._lose(SiteUnavailable("The page has lost the connection to its server."), "", RECONNECT_WAIT_S)

    def _lose(self, error: ServiceError, words: str, wait_s: float) -> None:
        if self._lost is None:
            self._lost, self._lost_words = error, words
            self._lost_at = time.monotonic()
            self._recover_until = self._lost_at + wait_s

    def _recover(self) -> None:
        self._lost, self._recover_until = None, None

    async def _has_recovered(self) -> bool:
        """Whether the page is connected again, as far as it shows."""
        if self._recipe.observe.done.frames and not self._observer.is_connected:
            return False
        with translate_playwright_errors():
            if self._lost_words and await self._page.evaluate(
                "text => window.__darkroom.showsError(text)", self._lost_words
            ):
                return False
        # The text may have disappeared in the meantime.
        return await self._site_answers()

    async def _site_answers(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await fetch_url(self._page, self._recipe.url) is not None
        except (Error, TimeoutError):
            return False

    def _raise_no_picture(self, words: str) -> None:
        self._program_stop.record_end()
        words = " ".join(words.split())[:MAX_WORDS_CHARS]
        if classify(ErrorSpec(), words) == "unavailable":
            # The text of a lost connection may be in a place where the recipe expects no errors.
            raise SiteUnavailable(f"The page finished without a new picture. The page says: {words}")
        reasons = [f"The page says: {words}" if words else "", self._capture.describe_failed_images()]
        raise NoPicture(" ".join(["The page finished without a new picture.", *filter(None, reasons)]))

    async def _finish(self) -> None:
        """Capture the pictures. If none of them is new, wait for others."""
        with translate_playwright_errors():
            with span("page.capture"):
                self.images = await self._collect()
            if self.images:
                self._program_stop.record_end()
                return
            if not (self._recipe.observe.done.selectors or self._recipe.capture.selectors):
                self._raise_no_picture("")
            await self._page.evaluate("() => window.__darkroom.reject()")

    async def _collect(self) -> list[GeneratedImage]:
        capture, done = self._recipe.capture, self._recipe.observe.done
        if capture.source == "download":
            return await self._capture.capture_download(lambda: self._run_steps(capture.steps))
        urls = next((urls for _, urls in sorted(self._urls.items()) if urls), [])
        if urls:
            return await self._capture.capture_urls(list(dict.fromkeys(urls)))
        if not (done.selectors or capture.selectors):
            return []
        return await self._capture.capture_results(done.source, many=capture.many)

    def _record_match(self, observation: Observation) -> None:
        """Record which alternative matched; the page's claim counts only if the recipe has that alternative."""
        observe = self._recipe.observe
        if observation.kind == "error":
            watch = observe.error[observation.entry] if observation.entry < len(observe.error) else None
        else:
            watch = getattr(observe, observation.kind, None)
        alternatives = [format_chain(chain) for chain in watch.selectors] if watch else []
        if observation.selector in alternatives:
            self._finder.matched_selectors[alternatives[0]] = observation.selector

    async def _to_update(self, observation: Observation) -> Progress | bytes | None:
        if observation.kind == "progress":
            watch = self._recipe.observe.progress
            return parse_progress(observation.text, watch.pattern if watch else None)
        if observation.data:
            return await self._capture.shrink_preview(observation.data)
        return await self._capture.fetch_preview(observation.url)
