"""Reads and selects options: of a ``<select>``, of groups of buttons, and of lists that open below a field."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.async_api import ElementHandle, Error, JSHandle, Locator

from schemas.errors import ChoiceNotFound
from workers.sites.driver.playwright_errors import is_replaced
from workers.sites.observer.page_scripts import load_function

OPTIONS_SCRIPT = load_function(Path(__file__).with_name("options.js"))
OPTION_TIMEOUT_S = 5.0
OPTIONS_TIMEOUT_S = 2.0
POLL_INTERVAL_S = 0.05
SCROLL_TIMEOUT_S = 0.5
MAX_OPTIONS = 2000
MAX_OFFERED = 20
# The label comes before the text, because some lists put a check mark into the text of the selected option.
OPTION_NAMES_SCRIPT = """(options, most) => options.slice(0, most).map((option) =>
  (option.getAttribute("aria-label") || option.label || option.textContent || "").trim().slice(0, 200))"""
SCROLL_TO_SCRIPT = "option => option.scrollIntoView({ block: 'end' })"
SELECTED_SCRIPT = """options => options.map((option) =>
  option.getAttribute("aria-selected") === "true" || option.classList.contains("selected"))"""
IS_MULTIPLE_SCRIPT = """(options) => {
  const list = options[0] && options[0].closest("[role=listbox]");
  return Boolean(list) && list.getAttribute("aria-multiselectable") === "true";
}"""
TEXT_VALUE_SCRIPT = "field => (typeof field.value === 'string' ? field.value : field.innerText || '')"
BUTTON_NAMES_SCRIPT = """buttons => buttons.map((button) =>
  ((button.labels && button.labels[0] && button.labels[0].innerText) || button.getAttribute("aria-label")
    || button.innerText || button.value || "").trim().slice(0, 200))"""
VALUES_SCRIPT = "elements => elements.map((element) => element.value || '')"
OWN_OPTIONS_SCRIPT = "select => [...select.options]"


async def read_option_names(options: Locator | JSHandle) -> list[str]:
    """Return the names of the options in the order of the page."""
    evaluate = options.evaluate_all if isinstance(options, Locator) else options.evaluate
    names: list[str] = await evaluate(OPTION_NAMES_SCRIPT, MAX_OPTIONS)
    return names


async def read_all_option_names(options: Locator) -> list[str]:
    """Return the names of all options of a list, also of one that draws the next ones only when it is scrolled."""
    names = dict.fromkeys(await read_option_names(options))
    while len(names) < MAX_OPTIONS and await options.count():
        await options.last.evaluate(SCROLL_TO_SCRIPT)
        give_up_at = time.monotonic() + SCROLL_TIMEOUT_S
        count = len(names)
        while len(names) == count and time.monotonic() < give_up_at:
            names |= dict.fromkeys(await read_option_names(options))
            await asyncio.sleep(POLL_INTERVAL_S)
        if len(names) == count:
            break
    return list(names)


def split_names(value: str, offered: Sequence[str]) -> list[str]:
    """Return the names in a value: the value itself if it is offered, else the parts between its commas."""
    names = [part.strip() for part in value.split(",") if part.strip()]
    return names if value not in offered and all(name in offered for name in names) else [value]


async def select_option(field: ElementHandle, value: str, timeout_ms: int) -> None:
    """Select an option of a ``<select>`` by its name or value; raises ChoiceNotFound if there is none."""
    give_up_at = time.monotonic() + OPTIONS_TIMEOUT_S
    while True:
        options = await field.evaluate_handle(OWN_OPTIONS_SCRIPT)
        offered = await read_option_names(options)
        values: list[str] = await options.evaluate(VALUES_SCRIPT)
        names = offered if value in offered else values
        if value in names:
            break
        if time.monotonic() > give_up_at:
            raise _not_offered(value, offered)
        # Some pages fill their lists after they have loaded.
        await asyncio.sleep(POLL_INTERVAL_S)
    await field.select_option(index=names.index(value), timeout=timeout_ms)


async def check_radio(radios: Sequence[ElementHandle], value: str, timeout_ms: int) -> None:
    """Check the radio button of a group by its label or value; raises ChoiceNotFound if there is none."""
    offered, values = await _read_buttons(radios)
    names = offered if value in offered else values
    if value not in names:
        raise _not_offered(value, offered)
    await radios[names.index(value)].check(timeout=timeout_ms)


async def check_boxes(boxes: Sequence[ElementHandle], value: str, timeout_ms: int) -> None:
    """Check the checkboxes of a group that a value names, and uncheck the others; raises ChoiceNotFound."""
    offered, _ = await _read_buttons(boxes)
    wanted = split_names(value, offered) if value else []
    for name in wanted:
        if name not in offered:
            raise _not_offered(name, offered)
    for box, name in zip(boxes, offered, strict=True):
        await box.set_checked(name in wanted, timeout=timeout_ms)


async def _read_buttons(buttons: Sequence[ElementHandle]) -> tuple[list[str], list[str]]:
    """Return the names and the values of radio buttons or checkboxes."""
    names: list[str] = await buttons[0].evaluate(f"(_, all) => ({BUTTON_NAMES_SCRIPT})(all)", list(buttons))
    values: list[str] = await buttons[0].evaluate(f"(_, all) => ({VALUES_SCRIPT})(all)", list(buttons))
    return names, values


async def choose_from_list(field: ElementHandle, value: str, timeout_ms: int) -> None:
    """Select the option called ``value`` in the list that opens when ``field`` is clicked.

    A list with several choices gets exactly those that the value names, separated by commas.

    Raises:
        ChoiceNotFound: there is no such option.
    """
    before = await _evaluate_options(field, None)
    await field.click(timeout=timeout_ms)
    options = await _wait_for_options(field, before)
    offered = await read_option_names(options)
    wanted = split_names(value, offered)
    if wanted[0] not in offered:
        # A long list shows only some of its options until text is typed or the list is scrolled.
        options = await _find_option(field, value, before, offered, timeout_ms)
    names = await read_option_names(options)
    selected: list[bool] = await options.evaluate(SELECTED_SCRIPT)
    is_multiple = await options.evaluate(IS_MULTIPLE_SCRIPT)
    if is_multiple or (any(selected) and not await field.evaluate(TEXT_VALUE_SCRIPT)):
        current = [name for name, is_selected in zip(names, selected, strict=True) if is_selected]
        changes = [name for name in current if name not in wanted] + [name for name in wanted if name not in current]
    else:
        changes = wanted
    for name in changes:
        await _click_option(field, name, before, timeout_ms)
    with contextlib.suppress(Error):
        await field.evaluate("field => field.blur()")


async def _click_option(field: ElementHandle, name: str, before: JSHandle, timeout_ms: int) -> None:
    give_up_at = time.monotonic() + OPTION_TIMEOUT_S
    while True:
        # The list may be redrawn after each click or key, or close when the page scrolls it into view.
        options = await _wait_for_options(field, before, reopens=True)
        names = await read_option_names(options)
        if name not in names:
            raise _not_offered(name, names)
        option = (await options.get_property(str(names.index(name)))).as_element()
        try:
            if option:
                await option.click(timeout=timeout_ms)
        except Error as error:
            if not is_replaced(error) or time.monotonic() >= give_up_at:
                raise
        else:
            return


async def _find_option(
    field: ElementHandle, value: str, before: JSHandle, offered: Sequence[str], timeout_ms: int
) -> JSHandle:
    """Return the options once the value is one of them, after typing it or scrolling; raises ChoiceNotFound."""
    if is_editable := await field.is_editable():
        await field.fill("", timeout=timeout_ms)
        # Key by key: some lists (Gradio 6) are filtered at keys and not at the field's "input" event.
        await field.type(value, timeout=timeout_ms)
    names: set[str] = set(offered)
    give_up_at = time.monotonic() + OPTION_TIMEOUT_S
    while time.monotonic() < give_up_at:
        options = await _evaluate_options(field, before)
        current = await read_option_names(options)
        if value in current:
            return options
        if not is_editable:
            await options.evaluate(f"options => options.length && ({SCROLL_TO_SCRIPT})(options[options.length - 1])")
            if set(current) - names:
                names |= set(current)
                give_up_at = time.monotonic() + OPTION_TIMEOUT_S
        await asyncio.sleep(POLL_INTERVAL_S)
    raise _not_offered(value, offered)


async def _wait_for_options(field: ElementHandle, before: JSHandle, *, reopens: bool = False) -> JSHandle:
    """Return the options that became visible with the field's list, else those that were visible before."""
    give_up_at = time.monotonic() + OPTION_TIMEOUT_S
    while time.monotonic() < give_up_at:
        options = await _evaluate_options(field, before)
        if await options.evaluate("options => options.length"):
            return options
        if reopens and await field.get_attribute("aria-expanded") == "false":
            await field.click(timeout=1000 * OPTION_TIMEOUT_S)
            reopens = False
        await asyncio.sleep(POLL_INTERVAL_S)
    return await _evaluate_options(field, None)


async def _evaluate_options(field: ElementHandle, before: JSHandle | None) -> JSHandle:
    return await field.evaluate_handle(f"(field, before) => ({OPTIONS_SCRIPT})([field, before])", before)


def _not_offered(value: str, offered: Sequence[str]) -> ChoiceNotFound:
    choices = list(offered[:MAX_OFFERED])
    return ChoiceNotFound(
        f"The page does not offer {value!r}. It offers: {', '.join(choices) or 'nothing'}.", offered=choices
    )
