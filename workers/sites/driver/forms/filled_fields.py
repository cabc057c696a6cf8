"""The fields that the steps of one job have set, each checked when it is set and again before the job is submitted.

The second check finds values that the page has changed since: when another field was set, or when it had loaded.
"""

from dataclasses import dataclass

from playwright.async_api import Error, Page

from schemas.errors import InputNotTaken
from schemas.sites.recipe import Step
from schemas.sites.templates import PLACEHOLDER
from workers.sites.driver.forms.fields import DRAWN_SCRIPT, FormField
from workers.sites.driver.playwright_errors import is_closed, is_replaced
from workers.sites.driver.selectors import ElementFinder, Match

MAX_VALUE_CHARS = 200
PIN_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class FilledField:
    """A field, the step that set it, and its value."""

    step: Step
    field: FormField
    value: str


class FilledFields:
    """The fields of one page."""

    def __init__(self, page: Page, finder: ElementFinder) -> None:
        self._page = page
        self._finder = finder
        self._filled: list[FilledField] = []

    async def set(self, step: Step, value: str) -> None:
        """Set the field of a step.

        Raises:
            SiteChanged: the page has no such field.
            ChoiceNotFound: the field does not offer the value.
            InputNotTaken: the page shows another value.
        """
        for attempt in range(1, PIN_ATTEMPTS + 1):
            match = await self._finder.find(self._page, step.selectors, timeout_ms=step.timeout_ms)
            try:
                field = await self._pin(step, match, value)
                shown = await field.set(value)
            except Error as error:
                if attempt < PIN_ATTEMPTS and is_replaced(error):
                    continue
                raise
            break
        if shown is not None:
            raise _not_taken(step, value, shown)
        same = await field.is_same_as([filled.field for filled in self._filled])
        others = [filled for filled, is_same in zip(self._filled, same, strict=True) if not is_same]
        self._filled = [*others, FilledField(step, field, value)]

    async def check(self) -> None:
        """Set the fields again that no longer show their values; raises InputNotTaken if one refuses."""
        if not self._filled:
            return
        await self._page.evaluate(DRAWN_SCRIPT)
        shown_before = [await self._difference(filled) for filled in self._filled]
        changed = [filled for filled, shown in zip(self._filled, shown_before, strict=True) if shown is not None]
        for filled in changed:
            if (shown := await self._restore(filled)) is not None:
                raise _not_taken(filled.step, filled.value, shown)
        if changed:
            # Fields that change each other cannot both have their values.
            await self._page.evaluate(DRAWN_SCRIPT)
            for filled in self._filled:
                if (shown := await self._difference(filled)) is not None:
                    raise _not_taken(filled.step, filled.value, shown)

    async def _difference(self, filled: FilledField) -> str | None:
        """Return None if the field has its value or is gone, else the value that it shows."""
        try:
            field = await self._find_again(filled)
            return await field.difference(filled.value) if field else None
        except Error as error:
            if is_closed(error):
                raise
            return None

    async def _restore(self, filled: FilledField) -> str | None:
        """Set a field again; returns None if it takes its value, else the value that it shows."""
        field = await self._find_again(filled)
        if field is None or not await field.is_visible():
            return await self._difference(filled)
        return await field.set(filled.value)

    async def _find_again(self, filled: FilledField) -> FormField | None:
        if await filled.field.is_attached():
            return filled.field
        match = await self._finder.find_present(self._page, filled.step.selectors, visible=True)
        return await self._pin(filled.step, match, filled.value) if match else None

    async def _pin(self, step: Step, match: Match, value: str) -> FormField:
        return await FormField.pin(self._page, match, value, has_list=step.name == "choose", timeout_ms=step.timeout_ms)


def _not_taken(step: Step, asked: str, shown: str) -> InputNotTaken:
    names = PLACEHOLDER.findall(step.value)
    name = names[0] if names else step.when or step.type
    asked, shown = asked[:MAX_VALUE_CHARS], shown[:MAX_VALUE_CHARS]
    message = f"The page took {shown!r} for {name}, not {asked!r}."
    return InputNotTaken(message, input=name, asked=asked, taken=shown)
