"""Sets the fields of a page's form as a person does, and reads back which values the page took.

A field is pinned to its elements when it is found, because some pages change its label while its list is open.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import ElementHandle, Error, Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from schemas.errors import SiteChanged
from workers.sites.driver.forms.options import check_boxes, check_radio, choose_from_list, select_option, split_names
from workers.sites.driver.selectors import Match, locate
from workers.sites.observer.page_scripts import load_function

READ_SCRIPT = load_function(Path(__file__).with_name("fields.js"))
MAX_GROUP = 200
TRUE_VALUES = ("true", "1", "yes", "on")
FALSE_VALUES = ("false", "0", "no", "off")
# A page may correct a value, or still be loading and put its own value back; so each value is set twice at most.
SET_ATTEMPTS = 2
READ_TIMEOUT_S = 1.0
POLL_INTERVAL_S = 0.05
# Two frames and an idle moment: time for a page to draw what has changed. A page that is not shown draws no frames.
DRAWN_SCRIPT = """() => new Promise((drawn) => {
  setTimeout(drawn, 1000);
  requestAnimationFrame(() => requestAnimationFrame(() => requestIdleCallback(drawn)));
})"""
KIND_SCRIPT = """element => {
  const role = element.getAttribute("role");
  if (element instanceof HTMLSelectElement) return "select";
  if (element instanceof HTMLInputElement && ["checkbox", "radio", "range"].includes(element.type)) return element.type;
  if (element instanceof HTMLFieldSetElement || role === "radiogroup") return "group";
  if (role === "radio") return "radio";
  return ["checkbox", "switch", "menuitemcheckbox"].includes(role) ? "checkbox" : "text";
}"""
IS_ONE_LINE_SCRIPT = "element => element instanceof HTMLInputElement"
# Playwright's fill() does not support range inputs. The prototype's setter bypasses the one that React installs.
SET_RANGE_SCRIPT = """(element, value) => {
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(element, value);
  for (const kind of ["input", "change"]) element.dispatchEvent(new Event(kind, { bubbles: true }));
}"""
# Some pages read a value only on "change", which a browser sends when the field loses the focus, or on "blur".
LEAVE_SCRIPT = """element => {
  element.dispatchEvent(new Event("change", { bubbles: true }));
  element.blur();
  // Keys that follow, such as Enter, go to the field.
  element.focus({ preventScroll: true });
}"""
CHOICES_IN_GROUP = "input[type=radio], [role=radio], input[type=checkbox], [role=checkbox]"
# The element on top of a checkbox, if it belongs to its label: many pages draw a switch and hide the checkbox.
COVER_SCRIPT = """element => {
  element.scrollIntoView({ block: "nearest" });
  const box = element.getBoundingClientRect();
  const top = element.getRootNode().elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const isOwn = top && top !== element && !element.contains(top) && top.closest("label")?.control === element;
  return isOwn ? top : null;
}"""
# The messages of Playwright for values that a field cannot hold at all.
IMPOSSIBLE_VALUE = re.compile(r"Cannot type text into|Malformed value|did not change its state")
NUMBER = re.compile(r"[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d{1,3})?")
# Separators of thousands inside a shown number, and a unit behind it.
SHOWN_NUMBER = re.compile(rf"^({NUMBER.pattern})\s*[^\d\s.,]{{0,12}}$")
THOUSANDS = re.compile(r"(?<=\d)[,\u00a0\u202f '](?=\d{3}(?:\D|$))")
# AUTOMATIC1111 adds the hash of a checkpoint to its name once it has loaded it.
CHECKPOINT_HASH = re.compile(r"(?<!\s)\s*+\[[0-9a-f]{8,64}\]$")


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a page: one element, or the radio buttons or checkboxes of a group."""

    elements: tuple[ElementHandle, ...]
    kind: str
    timeout_ms: int

    @classmethod
    async def pin(cls, page: Page, match: Match, value: str, *, has_list: bool, timeout_ms: int) -> "FormField":
        """Return the field that a selector matched, to set ``value``; ``has_list``: a click on it opens its options."""
        element = await match.locator.element_handle(timeout=timeout_ms)
        kind = await element.evaluate(KIND_SCRIPT)
        if kind == "group":
            elements = (await element.query_selector_all(CHOICES_IN_GROUP))[:MAX_GROUP]
            if not elements:
                raise SiteChanged(f"The group {match.selector} has neither radio buttons nor checkboxes.")
            return cls(tuple(elements), await _group_kind(elements[0]), timeout_ms)
        if kind == "radio" or (kind == "checkbox" and value.lower() not in TRUE_VALUES + FALSE_VALUES):
            elements = (await locate(page, match.chain).filter(visible=True).element_handles())[:MAX_GROUP]
            if len(elements) > 1:
                return cls(tuple(elements), await _group_kind(elements[0]), timeout_ms)
            kind = "checkbox"
        return cls((element,), "list" if has_list and kind == "text" else kind, timeout_ms)

    async def set(self, value: str) -> str | None:
        """Set the value; returns None if the page took it, else the value that it shows instead.

        Raises:
            ChoiceNotFound: the value is not one of the choices that the field offers.
        """
        shown: str | None = ""
        for _ in range(SET_ATTEMPTS):
            try:
                await self._enter(value)
            except PlaywrightTimeout:
                raise
            except Error as error:
                if not IMPOSSIBLE_VALUE.search(error.message):
                    raise
            if (shown := await self.difference(value)) is None:
                return None
        return shown

    async def difference(self, value: str) -> str | None:
        """Return None once the page shows the value, else the value that it shows after ``READ_TIMEOUT_S``."""
        give_up_at = time.monotonic() + READ_TIMEOUT_S
        while True:
            readings = await self.read()
            if self._is_taken(value, readings):
                return None
            if time.monotonic() > give_up_at:
                # A radio button or an option is shown by its name; its value is of no interest.
                return " ".join(readings[:1] if self.kind in ("radio", "select") else readings)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def read(self) -> list[str]:
        """Return the texts that name the value, the shown one first; several for a field with several values."""
        element = self.elements[0]
        readings: list[str] = await element.evaluate(
            f"(_, all) => ({READ_SCRIPT})(all)", [list(self.elements), self.kind]
        )
        return readings

    async def is_attached(self) -> bool:
        """Return whether the page still has the field."""
        return bool(await self.elements[0].evaluate("element => element.isConnected"))

    async def is_visible(self) -> bool:
        """Return whether a person can see the field."""
        return await self.elements[0].is_visible()

    async def is_same_as(self, others: "Sequence[FormField]") -> list[bool]:
        """Return for each other field whether it is the same element of the page."""
        script = "(mine, others) => others.map((other) => other === mine)"
        same: list[bool] = await self.elements[0].evaluate(script, [other.elements[0] for other in others])
        return same

    async def _enter(self, value: str) -> None:
        element = self.elements[0]
        if self.kind == "radio":
            await check_radio(self.elements, value, self.timeout_ms)
        elif self.kind == "checkboxes":
            await check_boxes(self.elements, value, self.timeout_ms)
        elif self.kind == "checkbox":
            await self._check(element, value.lower() in TRUE_VALUES)
        elif self.kind == "select":
            await select_option(element, value, self.timeout_ms)
        elif self.kind == "list":
            await choose_from_list(element, value, self.timeout_ms)
        elif self.kind == "range":
            await element.evaluate(SET_RANGE_SCRIPT, value)
        else:
            # A field of one line would drop line breaks and join the words around them.
            is_one_line = await element.evaluate(IS_ONE_LINE_SCRIPT)
            await element.fill(" ".join(value.splitlines()) if is_one_line else value, timeout=self.timeout_ms)
            await element.evaluate(LEAVE_SCRIPT)

    async def _check(self, element: ElementHandle, is_checked: bool) -> None:
        """Check or uncheck a checkbox; one that is hidden below a drawn switch is toggled by a click on the switch."""
        if await self.read() == [str(is_checked).lower()]:
            return
        cover = (await element.evaluate_handle(COVER_SCRIPT)).as_element()
        if cover is None:
            await element.set_checked(is_checked, timeout=self.timeout_ms)
        else:
            await cover.click(timeout=self.timeout_ms)

    def _is_taken(self, value: str, readings: Sequence[str]) -> bool:
        if self.kind == "checkbox":
            return (value.lower() in TRUE_VALUES) == (readings == ["true"])
        if self.kind == "checkboxes":
            return {squeeze(name) for name in readings} == {squeeze(name) for name in split_names(value, readings)}
        if self.kind == "list" and len(readings) > 1:
            return all(any(is_same_value(name, shown) for shown in readings) for name in split_names(value, readings))
        return any(is_same_value(value, shown) for shown in readings or ("",))


async def _group_kind(element: ElementHandle) -> str:
    return "radio" if await element.evaluate(KIND_SCRIPT) == "radio" else "checkboxes"


def is_same_value(asked: str, shown: str) -> bool:
    """Return whether a page shows the requested value, ignoring white space, number formats and a model's hash."""
    if squeeze(asked) == squeeze(shown) or squeeze(asked) == squeeze(CHECKPOINT_HASH.sub("", shown)):
        return True
    number = SHOWN_NUMBER.match(THOUSANDS.sub("", shown.strip()))
    return bool(NUMBER.fullmatch(asked.strip()) and number and float(asked) == float(number[1]))


def squeeze(text: str) -> str:
    """Return a text with all its white space as single spaces."""
    return " ".join(text.split())
