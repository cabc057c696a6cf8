"""Drives a site's page by its recipe: open, submit, watch, collect images.

Everything that is specific to a site is in the recipe. Errors of the page are diagnosed before they are raised: a
missing element may mean that the site asks for a pause or for a person.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from playwright.async_api import BrowserContext, Page

from ops.processes.tracing import span
from schemas.errors import ServiceError
from schemas.images.input_images import InputFile
from schemas.jobs.job import GeneratedImage, JobRequest, Progress
from schemas.sites.recipe import Recipe, Step
from schemas.sites.templates import render
from stores.sites.static_sites import get_bundle_folder
from workers.sites.diagnostics.failure_report import FailureReport
from workers.sites.driver.capture.image_capture import ImageCapture
from workers.sites.driver.diagnosis import Diagnosis
from workers.sites.driver.forms.options import read_all_option_names
from workers.sites.driver.generation.generation import Generation
from workers.sites.driver.generation.program_stop import ProgramStop
from workers.sites.driver.lora_catalogue import LoraCatalogue
from workers.sites.driver.playwright_errors import translate_playwright_errors
from workers.sites.driver.posters import draw_poster
from workers.sites.driver.selectors import ElementFinder, locate
from workers.sites.driver.static_server import serve_bundle
from workers.sites.driver.steps import StepRunner
from workers.sites.observer.observer import Observation, Observer
from workers.sites.policy.page_limits import PageLimits
from workers.sites.policy.request_blocking import block_requests
from workers.sites.policy.robots import PolitenessPolicy

OBSTACLE_CHECK_INTERVAL_S = 1.0


class Driver:
    """One page of one site in one browser context.

    ``on_step`` receives a line for every step; ``on_flood`` is called with the error when the page floods the browser.
    """

    def __init__(
        self,
        context: BrowserContext,
        recipe: Recipe,
        on_step: Callable[[str], None] | None = None,
        on_flood: Callable[[ServiceError], None] | None = None,
    ) -> None:
        self._on_step = on_step
        self._context = context
        self._recipe = recipe
        self._values: dict[str, Any] = {"url": recipe.url}
        self._images: dict[str, InputFile] = {}
        self._finder = ElementFinder()
        self._observer = Observer(recipe.observe, recipe.url, recipe.capture.selectors)
        self._politeness = PolitenessPolicy(recipe)
        self._limits = PageLimits(on_flood or self._on_flood)
        self._page: Page
        self._step_runner: StepRunner
        self._generation: Generation
        self._program_stop: ProgramStop | None = None
        self._failure_report: FailureReport | None = None
        self._diagnosis: Diagnosis

    @property
    def page(self) -> Page:
        """The page; available after ``open``."""
        return self._page

    @property
    def matched_selectors(self) -> dict[str, str]:
        """The alternative that matched, by the first alternative of each selector."""
        return dict(self._finder.matched_selectors)

    async def open(self, request: JobRequest | None = None, images: Mapping[str, InputFile] | None = None) -> None:
        """Load the page and, with a request, fill in its values, up to the step that submits.

        ``images`` has the picture of each of the request's image inputs, by the input's name.

        Raises:
            SiteUnavailable, SiteChanged, SiteBusy, RobotsDisallowed, LoraNotFound, ChoiceNotFound, BrowserLost
        """
        with translate_playwright_errors():
            await self._open_page()
            if request:
                self._images |= images or {}
                names = {name: file.name for name, file in self._images.items()}
                self._values |= _template_values(request, self._recipe) | names
            await self.run_steps(self._steps_before_submit() if request else self.arrival_steps())

    async def _open_page(self) -> None:
        await self._politeness.check_robots()
        # Routes, scripts and listeners are installed before the first navigation: earlier events would be lost.
        if folder := get_bundle_folder(self._recipe):
            await serve_bundle(self._context, self._recipe.url, folder)
        await self._limits.install(self._context)
        await self._observer.install(self._context, self._limits.count)
        self._page = await self._context.new_page()
        if not self._recipe.bundle:
            await block_requests(self._page, self._recipe)
        self._limits.listen(self._page)
        self._observer.listen(self._page)
        self._politeness.listen(self._page, self._on_busy)
        self._page.on("close", self._on_close)
        self._failure_report = FailureReport(self._page)
        self._diagnosis = Diagnosis(self._page, self._recipe.observe.human, self._politeness, self._failure_report)
        self._step_runner = StepRunner(self._page, self._recipe, self._finder, self._values, self._images)
        self._program_stop = ProgramStop(self._page, self._recipe, self._observer, self._step_runner.run)
        self._generation = Generation(
            self._page,
            self._recipe,
            self._observer,
            capture=ImageCapture(self._page),
            finder=self._finder,
            politeness=self._politeness,
            program_stop=self._program_stop,
            run_steps=self.run_steps,
        )

    async def submit(self) -> None:
        """Submit the prompt; from here on the observed changes of the page belong to this request."""
        with translate_playwright_errors():
            await self._generation.begin(file.data for file in self._images.values())
            await self.run_steps(self._recipe.steps[len(self._steps_before_submit()) :])

    async def run_steps(self, steps: tuple[Step, ...]) -> None:
        """Run steps of the recipe; raises the diagnosed ServiceError."""
        for step in steps:
            if self._on_step:
                self._on_step(self._step_runner.describe(step))
            try:
                with span(f"step {step.name or step.type}", {"darkroom.step": self._step_runner.label(step)}):
                    await self._run_watched(step)
            except ServiceError as error:
                raise await self._diagnosis.explain(error) from error

    async def _run_watched(self, step: Step) -> None:
        """Run a step; end it early if the page asks for a pause or a person while the step waits."""
        running = asyncio.ensure_future(self._step_runner.run(step))
        try:
            while not (await asyncio.wait({running}, timeout=OBSTACLE_CHECK_INTERVAL_S))[0]:
                if obstacle := await self._diagnosis.find_obstacle():
                    raise obstacle
            running.result()
        finally:
            running.cancel()
            # Retrieve the exception of a step that was abandoned; otherwise asyncio logs it.
            running.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _on_flood(self, error: ServiceError) -> None:
        self._observer.push(Observation("flood", error.message))

    def _on_busy(self) -> None:
        self._observer.push(Observation("busy"))

    def _on_close(self, _page: Page) -> None:
        self._observer.push(Observation("closed"))

    async def watch(self) -> AsyncIterator[Progress | bytes]:
        """Yield progress and previews (JPEG) until the pictures are captured; see ``Generation.watch`` for errors."""
        async for update in self._generation.watch():
            yield update

    async def collect_images(self) -> list[GeneratedImage]:
        """Return the finished images, at least one, with their original bytes if the page allows access to them."""
        return self._generation.images

    async def draw_poster(self, image: GeneratedImage) -> bytes | None:
        """Return a JPEG of a video or of a picture that is too large to decode here; None if the browser cannot."""
        return await draw_poster(self._context, image)

    async def stop_program(self) -> str:
        """Stop the program behind the page if it still works for this job; returns a sentence about it, or nothing."""
        return await self._program_stop.stop() if self._program_stop else ""

    async def search_loras(self, query: str) -> list[dict[str, Any]]:
        """Search the site's LoRA catalogue; empty if the recipe has no catalogue."""
        loras = self._recipe.loras
        if loras is None or not loras.query:
            return []
        with translate_playwright_errors():
            return await LoraCatalogue(self._page, loras, self._finder, self._step_runner.run).search(query)

    async def read_choices(self, input_name: str) -> list[str]:
        """Read the choices that the page offers for an input; empty if the recipe does not say where they are."""
        spec = self._recipe.inputs.get(input_name)
        if spec is None or spec.choices_from is None:
            return []
        with translate_playwright_errors():
            await self.run_steps(spec.choices_from.open)
            match = await self._finder.find(self._page, spec.choices_from.item, timeout_ms=5000, visible=False)
            names = await read_all_option_names(locate(self._page, match.chain))
            await self.run_steps(spec.choices_from.close)
            return list(dict.fromkeys(filter(None, names)))

    async def read_quota(self) -> dict[str, str]:
        """Read ``used`` and ``limit`` of the site's quota as shown; empty if the recipe has no quota."""
        quota = self._recipe.quota
        if quota is None:
            return {}
        with translate_playwright_errors():
            timeout_ms = self._recipe.steps[0].timeout_ms
            used = await self._finder.find(self._page, quota.used, timeout_ms=timeout_ms)
            limit = await self._finder.find(self._page, quota.limit, timeout_ms=timeout_ms)
            return {
                "used": (await used.locator.inner_text()).strip(),
                "limit": (await limit.locator.inner_text()).strip(),
            }

    async def build_failure_report(self) -> dict[str, Any] | None:
        """Return the failure report of the page; None if no page was opened."""
        return await self._failure_report.build() if self._failure_report else None

    def _steps_before_submit(self) -> tuple[Step, ...]:
        numbers = [number for number, step in enumerate(self._recipe.steps) if step.submits]
        return self._recipe.steps[: numbers[0]]

    def arrival_steps(self) -> tuple[Step, ...]:
        """Return the steps that only reach the page: those before the first step that needs values of a request."""
        steps = self._recipe.steps
        numbers = [
            number
            for number, step in enumerate(steps)
            if step.type == "change" or (step.type == "customStep" and step.name != "open")
        ]
        return steps[: numbers[0]] if numbers else self._steps_before_submit()


def _template_values(request: JobRequest, recipe: Recipe) -> dict[str, Any]:
    """Return the values of the recipe's placeholders; a LoRA with a prompt syntax is appended to the prompt."""
    values: dict[str, Any] = {**request.inputs, "prompt": request.prompt}
    if request.lora:
        values["lora"] = request.lora
        if recipe.loras and recipe.loras.syntax:
            lora_values = {name: spec.default for name, spec in recipe.inputs.items()} | values
            lora_text = render(recipe.loras.syntax, lambda name: str(lora_values.get(name, "")))
            values["prompt"] = f"{request.prompt} {lora_text}"
    return values
