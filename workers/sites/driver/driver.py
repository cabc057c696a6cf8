"""The driving of a page by its recipe: open, submit, watch, collect. It knows no site by name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from playwright.async_api import BrowserContext, Error, Page

from schemas.errors import BrowserLost, NeedsHuman, ServiceError, SiteChanged, SiteRefused
from schemas.jobs.job import Picture, Progress, Submission
from schemas.sites.recipe import Recipe, Step
from schemas.sites.templates import fill
from stores.sites.static_sites import bundle_folder
from workers.sites.diagnostics.failure_report import Evidence
from workers.sites.diagnostics.selector_suggestions import nearest
from workers.sites.driver.image_capture import Capture
from workers.sites.driver.lora_catalogue import Catalogue
from workers.sites.driver.playwright_errors import translated
from workers.sites.driver.select_options import names_of
from workers.sites.driver.selectors import Finder, locate, written
from workers.sites.driver.static_server import serve_bundle
from workers.sites.driver.steps import Player
from workers.sites.observer.observer import Observer, Sighting, progress
from workers.sites.policy.request_blocking import restrict
from workers.sites.policy.robots import Manners

LONGEST_WORDS = 200
LONGEST_MESSAGE = 2000
LOOK_TIMEOUT_S = 3.0


class Driver:
    """One page of one site, in a browser context of its own."""

    def __init__(self, context: BrowserContext, recipe: Recipe, told: Callable[[str], None] | None = None) -> None:
        """Nothing is opened yet. ``told`` hears of every step that is played."""
        self._told = told
        self._context = context
        self._recipe = recipe
        self._values: dict[str, Any] = {"url": recipe.url}
        self._finder = Finder()
        self._observer = Observer(recipe.observe, recipe.url)
        self._manners = Manners(recipe)
        self._done = Sighting("done")
        self._page: Page
        self._player: Player
        self._capture: Capture
        self._evidence: Evidence | None = None

    @property
    def page(self) -> Page:
        """The page, once it is open."""
        return self._page

    @property
    def matched(self) -> dict[str, str]:
        """Of each place that was looked for, by its first alternative: the alternative that found it."""
        return dict(self._finder.matched)

    async def open(self, submission: Submission | None = None) -> None:
        """Load the page and, with a submission, fill everything in, up to the step that submits.

        Raises:
            SiteUnavailable, SiteChanged, SiteBusy, RobotsDisallowed, LoraNotFound, ChoiceNotFound, BrowserLost
        """
        with translated():
            await self._prepare()
            if submission:
                self._values |= _values(submission, self._recipe)
            await self.play(self._steps_before_submit() if submission else self.steps_of_arrival())

    async def _prepare(self) -> None:
        await self._manners.ask_robots()
        if folder := bundle_folder(self._recipe):
            await serve_bundle(self._context, self._recipe.url, folder)
        await self._observer.install(self._context)
        self._page = await self._context.new_page()
        if not self._recipe.bundle:
            await restrict(self._page, self._recipe)
        self._observer.listen(self._page)
        self._manners.listen(self._page, self._on_busy)
        self._page.on("close", self._on_close)
        self._capture = Capture(self._page, self._finder)
        self._evidence = Evidence(self._page)
        self._player = Player(self._page, self._recipe, self._finder, self._values)

    async def submit(self) -> None:
        """Hand the prompt to the page; from here on the page's changes belong to this submission."""
        with translated():
            await self._observer.arm(self._page)
            await self.play(self._recipe.steps[len(self._steps_before_submit()) :])

    async def play(self, steps: tuple[Step, ...]) -> None:
        """Play steps of the recipe; raises ``ServiceError`` with what was really the matter."""
        for step in steps:
            if self._told:
                self._told(self._player.describe(step))
            try:
                await self._player.play(step)
            except ServiceError as error:
                raise await self._explained(error) from error

    async def _explained(self, error: ServiceError) -> ServiceError:
        """What really was the matter: a site that is busy or wants a person shows another page than the recipe's."""
        if self._manners.busy:
            return self._manners.busy
        if words := await self._asks_for_a_person():
            return NeedsHuman(f"The site asks for a person: {words[:LONGEST_WORDS]}")
        if isinstance(error, SiteChanged) and error.details.get("selectors") and self._evidence:
            similar = await nearest(self._page, error.details["selectors"])
            self._evidence.explanation = {**error.details, "similar": similar}
            place = error.details.get("step", "a step")
            names = ", ".join(one["selector"] for one in similar) or "nothing"
            words = f"{place}: {error.message} Nearest on the page now: {names}."
            return SiteChanged(words[:LONGEST_MESSAGE], **error.details)
        return error

    async def _asks_for_a_person(self) -> str:
        """The words with which the page asks for a login or the like; empty if it does not, or does not answer."""
        human = self._recipe.observe.human
        with contextlib.suppress(TimeoutError, Error):
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                for chain in human.selectors if human else ():
                    element = locate(self._page, chain).first
                    if await element.is_visible():
                        return (await element.inner_text()).strip() or "(no words)"
        return ""

    def _on_busy(self) -> None:
        self._observer.tell(Sighting("busy"))

    def _on_close(self, _page: Page) -> None:
        self._observer.tell(Sighting("closed"))

    async def watch(self) -> AsyncIterator[Progress | bytes]:
        """What the page shows until it is done: how far it is, and previews (JPEG).

        Raises:
            SiteRefused: the page shows an error; the message is the page's own words.
            NeedsHuman: the page asks for a person.
            SiteBusy: the site asks to be left alone for a while.
            BrowserLost: the page was closed.
        """
        while True:
            sighting = await self._observer.next()
            self._note_place(sighting)
            if sighting.kind == "done":
                self._done = sighting
                return
            if sighting.kind == "error":
                raise SiteRefused(sighting.text)
            if sighting.kind == "human":
                raise NeedsHuman(f"The site asks for a person: {sighting.text}")
            if sighting.kind == "closed":
                raise BrowserLost("The page was closed while it worked.")
            if self._manners.busy:
                raise self._manners.busy
            shown = await self._read(sighting)
            if shown is not None:
                yield shown

    def _note_place(self, sighting: Sighting) -> None:
        """The page may say anything: only an alternative of the recipe counts."""
        watch = getattr(self._recipe.observe, sighting.kind, None)
        alternatives = [written(chain) for chain in watch.selectors] if watch else []
        if sighting.by in alternatives:
            self._finder.matched[alternatives[0]] = sighting.by

    async def _read(self, sighting: Sighting) -> Progress | bytes | None:
        if sighting.kind == "progress":
            watch = self._recipe.observe.progress
            return progress(sighting.text, watch.pattern if watch else None)
        if sighting.data:
            return await self._capture.small(sighting.data)
        return await self._capture.preview(sighting.url)

    async def collect(self) -> list[Picture]:
        """The finished pictures, byte for byte where the page lets it be; at least one.

        Raises:
            SiteChanged: the page has shown its end and no picture can be had.
        """
        capture, done = self._recipe.capture, self._recipe.observe.done
        with translated():
            if capture.source == "download":
                return await self._capture.downloaded(lambda: self.play(capture.steps))
            if self._done.urls:
                return await self._capture.at(self._done.urls)
            if not (capture.many or capture.selectors) and done.source != "canvas":
                match = await self._finder.find(self._page, done.selectors, timeout_ms=1000)
                return [await self._capture.picture(self._done.url, match.locator)]
            return await self._capture.shown(capture.selectors or done.selectors, done.source, many=capture.many)

    async def search_loras(self, words: str) -> list[dict[str, Any]]:
        """What the site's catalogue has for ``words``; nothing where the site has no catalogue."""
        loras = self._recipe.loras
        if loras is None or not loras.query:
            return []
        with translated():
            return await Catalogue(self._page, loras, self._finder, self._player.play).search(words)

    async def read_choices(self, name: str) -> list[str]:
        """What the page offers for the input ``name``; nothing where the recipe does not say where that stands."""
        known = self._recipe.inputs.get(name)
        if known is None or known.choices_from is None:
            return []
        with translated():
            await self.play(known.choices_from.open)
            match = await self._finder.find(self._page, known.choices_from.item, timeout_ms=5000, visible=False)
            items = locate(self._page, match.chain)
            names = await names_of(items)
            await self.play(known.choices_from.close)
            return list(dict.fromkeys(filter(None, names)))

    async def read_quota(self) -> dict[str, str]:
        """The site's own quota as it shows it: ``used`` and ``limit``; empty where it shows none."""
        quota = self._recipe.quota
        if quota is None:
            return {}
        with translated():
            timeout_ms = self._recipe.steps[0].timeout_ms
            used = await self._finder.find(self._page, quota.used, timeout_ms=timeout_ms)
            limit = await self._finder.find(self._page, quota.limit, timeout_ms=timeout_ms)
            return {
                "used": (await used.locator.inner_text()).strip(),
                "limit": (await limit.locator.inner_text()).strip(),
            }

    async def evidence(self) -> dict[str, Any] | None:
        """What the page looked like, for a failed attempt."""
        return await self._evidence.bundle() if self._evidence else None

    def _steps_before_submit(self) -> tuple[Step, ...]:
        numbers = [number for number, step in enumerate(self._recipe.steps) if step.submits]
        return self._recipe.steps[: numbers[0]]

    def steps_of_arrival(self) -> tuple[Step, ...]:
        """The steps that only get to the page: those before the first that needs a submission's values."""
        steps = self._recipe.steps
        numbers = [number for number, step in enumerate(steps) if step.type in ("change", "customStep")]
        return steps[: numbers[0]] if numbers else self._steps_before_submit()


def _values(submission: Submission, recipe: Recipe) -> dict[str, Any]:
    values: dict[str, Any] = {**submission.inputs, "prompt": submission.prompt}
    if submission.lora:
        values["lora"] = submission.lora
        if recipe.loras and recipe.loras.syntax:
            known = {name: one.default for name, one in recipe.inputs.items()} | values
            written = fill(recipe.loras.syntax, lambda name: str(known.get(name, "")))
            values["prompt"] = f"{submission.prompt} {written}"
    return values
