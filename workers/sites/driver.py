"""Owns the driving of a page by its recipe: open, submit, watch, collect. It knows no site by name.

Called by ``workers.runner`` for jobs and by ``workers.lookups`` for searches and quotas.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.async_api import BrowserContext, Error, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from schemas.errors import BrowserLost, NeedsHuman, ServiceError, SiteChanged, SiteRefused, SiteUnavailable
from schemas.jobs import Picture, Progress, Submission
from schemas.recipes import PLACEHOLDER
from schemas.sites import Recipe, Step
from stores.bundles import bundle_folder
from workers.sites.bundles import serve_bundle
from workers.sites.capture import Capture
from workers.sites.catalogue import Catalogue
from workers.sites.evidence import Evidence
from workers.sites.observer import Observer, Sighting, progress
from workers.sites.selectors import find

CLOSED = ("has been closed", "Target crashed", "Connection closed", "Browser closed", "Target closed")


class Driver:
    """One page of one site, in a browser context of its own."""

    def __init__(self, context: BrowserContext, recipe: Recipe) -> None:
        """Nothing is opened yet."""
        self._context = context
        self._recipe = recipe
        self._values: dict[str, str] = {"url": recipe.url}
        self._observer = Observer(recipe.observe)
        self._result_url = ""
        self._page: Page
        self._capture: Capture
        self._evidence: Evidence | None = None

    async def open(self, submission: Submission | None = None) -> None:
        """Load the page and, with a submission, fill everything in, up to the step that submits.

        Raises:
            SiteUnavailable, SiteChanged, LoraNotFound, BrowserLost
        """
        with _translated():
            if folder := bundle_folder(self._recipe):
                await serve_bundle(self._context, self._recipe.url, folder)
            await self._observer.install(self._context)
            self._page = await self._context.new_page()
            self._capture = Capture(self._page)
            self._evidence = Evidence(self._page)
            if submission:
                self._values |= _values(submission)
            for step in self._steps_before_submit() if submission else self._steps_of_arrival():
                await self._play(step)

    async def submit(self) -> None:
        """Hand the prompt to the page; from here on the page's changes belong to this submission."""
        with _translated():
            await self._observer.arm(self._page)
            for step in self._recipe.steps[len(self._steps_before_submit()) :]:
                await self._play(step)

    async def watch(self) -> AsyncIterator[Progress | bytes]:
        """What the page shows until it is done: how far it is, and previews (JPEG).

        Raises:
            SiteRefused: the page shows an error; the message is the page's own words.
            NeedsHuman: the page asks for a person.
        """
        while True:
            sighting = await self._observer.next()
            if sighting.kind == "done":
                self._result_url = sighting.url
                return
            if sighting.kind == "error":
                raise SiteRefused(sighting.text)
            if sighting.kind == "human":
                raise NeedsHuman(f"The site asks for a person: {sighting.text}")
            shown = await self._read(sighting)
            if shown is not None:
                yield shown

    async def _read(self, sighting: Sighting) -> Progress | bytes | None:
        if sighting.kind == "progress":
            watch = self._recipe.observe.progress
            return progress(sighting.text, watch.pattern if watch else None)
        if sighting.data:
            return sighting.data
        return await self._capture.preview(sighting.url)

    async def collect(self) -> Picture:
        """The finished picture, byte for byte where the page lets it be.

        Raises:
            SiteChanged: the page has shown its end and no picture can be had.
        """
        with _translated():
            return await self._capture.picture(self._result_url, self._recipe.observe.done.selectors)

    async def search_loras(self, words: str) -> list[dict[str, Any]]:
        """What the site's catalogue has for ``words``; nothing where the site has no catalogue."""
        if self._recipe.loras is None:
            return []
        with _translated():
            return await Catalogue(self._page, self._recipe.loras, self._play).search(words)

    async def read_quota(self) -> dict[str, str]:
        """The site's own quota as it shows it: ``used`` and ``limit``; empty where it shows none."""
        quota = self._recipe.quota
        if quota is None:
            return {}
        with _translated():
            used = await find(self._page, quota.used, timeout_ms=self._recipe.steps[0].timeout_ms)
            limit = await find(self._page, quota.limit, timeout_ms=self._recipe.steps[0].timeout_ms)
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

    def _steps_of_arrival(self) -> tuple[Step, ...]:
        """The steps that only get to the page: those before the first that needs a submission's values."""
        steps = self._recipe.steps
        numbers = [number for number, step in enumerate(steps) if step.type in ("change", "customStep")]
        return steps[: numbers[0]] if numbers else self._steps_before_submit()

    async def _play(self, step: Step) -> None:
        if step.when is None or step.when in self._values:
            await getattr(self, f"_play_{step.type}")(step)

    async def _play_navigate(self, step: Step) -> None:
        try:
            answer = await self._page.goto(self._fill(step.url), timeout=step.timeout_ms, wait_until="domcontentloaded")
        except PlaywrightTimeout as error:
            raise SiteUnavailable(f"{self._recipe.name} did not load within {step.timeout_ms / 1000:g} s.") from error
        except Error as error:
            if _is_closed(error):
                raise
            raise SiteUnavailable(f"{self._recipe.name} cannot be reached: {_first_line(error)}") from error
        if answer and answer.status >= 400:
            raise SiteUnavailable(f"{self._recipe.name} answers with status {answer.status}.")

    async def _play_setViewport(self, step: Step) -> None:  # noqa: N802 - the Recorder's word
        await self._page.set_viewport_size({"width": step.width, "height": step.height})

    async def _play_click(self, step: Step) -> None:
        match = await find(self._page, step.selectors, timeout_ms=step.timeout_ms)
        await match.locator.click(timeout=step.timeout_ms)

    async def _play_doubleClick(self, step: Step) -> None:  # noqa: N802 - the Recorder's word
        match = await find(self._page, step.selectors, timeout_ms=step.timeout_ms)
        await match.locator.dblclick(timeout=step.timeout_ms)

    async def _play_hover(self, step: Step) -> None:
        match = await find(self._page, step.selectors, timeout_ms=step.timeout_ms)
        await match.locator.hover(timeout=step.timeout_ms)

    async def _play_change(self, step: Step) -> None:
        match = await find(self._page, step.selectors, timeout_ms=step.timeout_ms)
        value = self._fill(step.value)
        if await match.locator.evaluate("element => element instanceof HTMLSelectElement"):
            await match.locator.select_option(value, timeout=step.timeout_ms)
        else:
            await match.locator.fill(value, timeout=step.timeout_ms)

    async def _play_keyDown(self, step: Step) -> None:  # noqa: N802 - the Recorder's word
        await self._page.keyboard.down(step.key)

    async def _play_keyUp(self, step: Step) -> None:  # noqa: N802 - the Recorder's word
        await self._page.keyboard.up(step.key)

    async def _play_scroll(self, step: Step) -> None:
        await self._page.mouse.wheel(step.x, step.y)

    async def _play_waitForElement(self, step: Step) -> None:  # noqa: N802 - the Recorder's word
        await find(self._page, step.selectors, timeout_ms=step.timeout_ms, visible=step.visible)

    async def _play_customStep(self, _step: Step) -> None:  # noqa: N802 - the Recorder's word
        if self._recipe.loras:
            await Catalogue(self._page, self._recipe.loras, self._play).add(self._values["lora"])

    def _fill(self, template: str) -> str:
        # A function and not a template: what a prompt contains is never read as a placeholder.
        return PLACEHOLDER.sub(lambda found: self._values.get(found[1], ""), template)


def _values(submission: Submission) -> dict[str, str]:
    given = {name: str(value) for name, value in submission.inputs.items()}
    return given | {"prompt": submission.prompt} | ({"lora": submission.lora} if submission.lora else {})


@contextmanager
def _translated() -> Iterator[None]:
    """Playwright's errors as ours."""
    try:
        yield
    except PlaywrightTimeout as error:
        raise SiteChanged(f"The page did not do what its recipe expects: {_first_line(error)}") from error
    except Error as error:
        translated: ServiceError = BrowserLost() if _is_closed(error) else SiteChanged(_first_line(error))
        raise translated from error


def _is_closed(error: Error) -> bool:
    return any(words in error.message for words in CLOSED)


def _first_line(error: Error) -> str:
    return error.message.partition("\n")[0]
