"""Runs the steps of a recipe on a page. A step of type ``click`` is run by the method ``_click``, and so on."""

import json
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from playwright.async_api import Error, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from schemas.errors import InputNotOffered, SiteChanged, SiteUnavailable
from schemas.images.input_images import InputFile
from schemas.sites.missing_fields import missing_field_message
from schemas.sites.recipe import Recipe, Step
from schemas.sites.templates import PLACEHOLDER, apply_fields, render, render_url
from workers.sites.driver.forms.filled_fields import FilledFields
from workers.sites.driver.forms.opening import open_for
from workers.sites.driver.lora_catalogue import LoraCatalogue
from workers.sites.driver.playwright_errors import is_closed, translate_playwright_errors
from workers.sites.driver.selectors import ElementFinder, Match, format_chain
from workers.sites.driver.uploads import fill_file_input, post_file

NETWORK_ERROR = re.compile(r"net::[A-Z_]+")
# Input may keep the page busy for longer than the step's settle time.
WAIT_UNTIL_IDLE_SCRIPT = "() => new Promise((idle) => requestIdleCallback(() => idle(), { timeout: 2000 }))"


class StepRunner:
    """Runs steps on one page; ``values`` are those of the recipe's placeholders.

    ``images`` has the pictures of the job's image inputs. A picture that the page stores under a name of its own
    changes the value of its placeholder to that name.
    """

    def __init__(
        self,
        page: Page,
        recipe: Recipe,
        finder: ElementFinder,
        values: MutableMapping[str, Any],
        images: Mapping[str, InputFile],
    ) -> None:
        self._page = page
        self._recipe = recipe
        self._finder = finder
        self._values = values
        self._images = images
        self._filled = FilledFields(page, finder)

    async def run(self, step: Step) -> None:
        """Run one step, unless it is for an input that has no value.

        Raises:
            SiteUnavailable, SiteChanged, LoraNotFound, ChoiceNotFound, InputNotOffered, InputNotTaken
        """
        if self._is_skipped(step):
            return
        try:
            with translate_playwright_errors():
                if step.submits:
                    await self._filled.check()
                await getattr(self, f"_{step.name or step.type}")(step)
                if step.settle_ms:
                    await self._page.wait_for_timeout(step.settle_ms)
                    await self._page.evaluate(WAIT_UNTIL_IDLE_SCRIPT)
        except SiteChanged as error:
            if step.when in self._recipe.inputs and "selectors" in error.details:
                raise InputNotOffered(missing_field_message(str(step.when), error.message)) from error
            error.details.setdefault("step", self.label(step))
            error.details.setdefault("selectors", [format_chain(chain) for chain in step.selectors])
            raise

    def _is_skipped(self, step: Step) -> bool:
        """Whether the step is for an input without a value, or for a false one that the step does not itself set."""
        if step.when is None:
            return False
        sets_value = step.type == "change" and step.when in PLACEHOLDER.findall(step.value)
        return step.when not in self._values or (self._values[step.when] is False and not sets_value)

    def describe(self, step: Step) -> str:
        """Describe the step in one line, without values, because prompts are private."""
        target = format_chain(step.selectors[0]) if step.selectors else step.url or step.key
        skipped = " (left out: not given)" if self._is_skipped(step) else ""
        return f"{self.label(step)} {step.name} {target}".replace("  ", " ").strip() + skipped

    def label(self, step: Step) -> str:
        """Return the step's position in the recipe and its type; only the type for steps outside ``steps``."""
        numbers = [number for number, other in enumerate(self._recipe.steps) if other is step]
        return f"steps[{numbers[0]}] ({step.type})" if numbers else step.type

    async def _navigate(self, step: Step) -> None:
        try:
            response = await self._page.goto(
                render_url(step.url, self._recipe.url, self._values),
                timeout=step.timeout_ms,
                wait_until="domcontentloaded",
            )
        except PlaywrightTimeout as error:
            raise SiteUnavailable(f"{self._recipe.name} did not load within {step.timeout_ms / 1000:g} s.") from error
        except Error as error:
            if is_closed(error):
                raise
            match = NETWORK_ERROR.search(error.message)
            reason = match[0] if match else "the browser gives no reason"
            raise SiteUnavailable(f"{self._recipe.name} cannot be reached: {reason}.") from error
        if response and response.status >= 400:
            raise SiteUnavailable(f"{self._recipe.name} answers with status {response.status}.")

    async def _setViewport(self, step: Step) -> None:  # noqa: N802 - a step type of Chrome's Recorder
        await self._page.set_viewport_size({"width": step.width, "height": step.height})

    async def _click(self, step: Step) -> None:
        await (await self._match(step)).locator.click(timeout=step.timeout_ms)

    async def _doubleClick(self, step: Step) -> None:  # noqa: N802 - a step type of Chrome's Recorder
        await (await self._match(step)).locator.dblclick(timeout=step.timeout_ms)

    async def _hover(self, step: Step) -> None:
        await (await self._match(step)).locator.hover(timeout=step.timeout_ms)

    async def _change(self, step: Step) -> None:
        await self._filled.set(step, self._fill(step.value))

    async def _keyDown(self, step: Step) -> None:  # noqa: N802 - a step type of Chrome's Recorder
        await self._page.keyboard.down(step.key)

    async def _keyUp(self, step: Step) -> None:  # noqa: N802 - a step type of Chrome's Recorder
        await self._page.keyboard.up(step.key)

    async def _scroll(self, step: Step) -> None:
        await self._page.mouse.wheel(step.x, step.y)

    async def _waitForElement(self, step: Step) -> None:  # noqa: N802 - a step type of Chrome's Recorder
        await self._finder.find(self._page, step.selectors, timeout_ms=step.timeout_ms, visible=step.visible)

    async def _addLora(self, _step: Step) -> None:  # noqa: N802 - a step name of recipes
        if self._recipe.loras:
            await LoraCatalogue(self._page, self._recipe.loras, self._finder, self.run).add(self._values["lora"])

    async def _removeLoras(self, _step: Step) -> None:  # noqa: N802 - a step name of recipes
        if self._recipe.loras:
            await LoraCatalogue(self._page, self._recipe.loras, self._finder, self.run).clear()

    async def _choose(self, step: Step) -> None:
        """Select an option of a list that opens below a field, or of whatever else the page offers choices with."""
        await self._filled.set(step, self._fill(step.value))

    async def _open(self, step: Step) -> None:
        await open_for(self._page, step.selectors, step.reveals, step.timeout_ms)

    async def _upload(self, step: Step) -> None:
        """Upload the picture of an input, or a document of the recipe as a JSON file."""
        if step.image:
            await self._upload_image(step, self._images[step.image])
            return
        document = self._recipe.documents[step.document]
        body = json.dumps(apply_fields(document.content, document.fields, self._values)).encode()
        file = {"name": f"{step.document}.json", "mimeType": "application/json", "buffer": body}
        match = await self._finder.find(self._page, step.selectors, timeout_ms=step.timeout_ms, visible=False)
        await match.locator.set_input_files(file, timeout=step.timeout_ms)  # type: ignore[arg-type] # a plain dict is a FilePayload

    async def _upload_image(self, step: Step, file: InputFile) -> None:
        if step.url:
            url = render_url(step.url, self._recipe.url.rstrip("/"), self._values)
            self._values[step.image] = await post_file(
                self._page, file, url, field=step.field, answer=step.answer, timeout_ms=step.timeout_ms
            )
            return
        match = await self._finder.find(self._page, step.selectors, timeout_ms=step.timeout_ms, visible=False)
        await fill_file_input(self._page, match.locator, file, step.timeout_ms)

    async def _match(self, step: Step) -> Match:
        return await self._finder.find(self._page, step.selectors, timeout_ms=step.timeout_ms)

    def _fill(self, template: str) -> str:
        return render(template, lambda name: str(self._values.get(name, "")))
