"""Reads and selects options: those of a ``<select>``, and those of an ARIA listbox that opens below a field."""

import contextlib
import json
import time

from playwright.async_api import Error, Locator
from playwright.async_api import TimeoutError as PlaywrightTimeout

from schemas.errors import ChoiceNotFound
from schemas.sites.observe import Selectors
from workers.sites.driver.selectors import ElementFinder, locate

# The last is for Gradio 3, whose lists have no roles.
LISTBOX_OPTIONS: Selectors = (("[role=option]",), ("[role=listbox] li",), ("[data-testid=dropdown-option]",))
OPTION_TIMEOUT_MS = 5_000
OPTIONS_TIMEOUT_S = 2.0
POLL_INTERVAL_MS = 100
MAX_OPTIONS = 2000
MAX_OFFERED = 20
# The label comes before the text, because some lists put a check mark into the text of the selected option.
OPTION_NAMES_SCRIPT = """(options, most) => options.slice(0, most).map((option) =>
  (option.getAttribute("aria-label") || option.label || option.textContent || "").trim().slice(0, 200))"""
OWN_LISTBOX_SCRIPT = "field => field.getAttribute('aria-controls') || field.getAttribute('aria-owns') || ''"
RADIO_NAMES_SCRIPT = """(radios, most) => radios.slice(0, most).map((radio) =>
  ((radio.labels && radio.labels[0] && radio.labels[0].textContent) || radio.value || "").trim().slice(0, 200))"""
OPTION_VALUES_SCRIPT = "options => options.map((option) => option.value)"


async def read_option_names(options: Locator) -> list[str]:
    """Return the names of the options in the order of the page."""
    names: list[str] = await options.evaluate_all(OPTION_NAMES_SCRIPT, MAX_OPTIONS)
    return names


async def select_option(field: Locator, value: str, timeout_ms: int) -> None:
    """Select an option of a ``<select>`` by its name or value; raises ChoiceNotFound if there is none."""
    options = field.locator("option")
    give_up_at = time.monotonic() + OPTIONS_TIMEOUT_S
    while True:
        offered = await read_option_names(options)
        values: list[str] = await options.evaluate_all(OPTION_VALUES_SCRIPT)
        if value in offered or value in values:
            break
        if time.monotonic() > give_up_at:
            raise _not_offered(value, offered)
        # Some pages fill their lists after they have loaded.
        await field.page.wait_for_timeout(POLL_INTERVAL_MS)
    await field.select_option(value, timeout=timeout_ms)


async def check_radio(radios: Locator, value: str, timeout_ms: int) -> None:
    """Check the radio button of a group by its label or value; raises ChoiceNotFound if there is none."""
    offered: list[str] = await radios.evaluate_all(RADIO_NAMES_SCRIPT, MAX_OPTIONS)
    values: list[str] = await radios.evaluate_all(OPTION_VALUES_SCRIPT)
    names = offered if value in offered else values
    if value not in names:
        raise _not_offered(value, offered)
    await radios.nth(names.index(value)).check(timeout=timeout_ms)


async def choose_from_listbox(finder: ElementFinder, field: Locator, value: str, timeout_ms: int) -> None:
    """Select an option of the listbox that opens when ``field`` is clicked; raises ChoiceNotFound if there is none."""
    await field.click(timeout=timeout_ms)
    options = await _find_options(finder, field)
    offered = await read_option_names(options)
    if value not in offered:
        # A long list shows only some of its options until text is typed.
        await _type(field, value, timeout_ms)
        try:
            await options.filter(has_text=value).first.wait_for(timeout=OPTION_TIMEOUT_MS)
        except PlaywrightTimeout as error:
            raise _not_offered(value, offered) from error
        narrowed = await read_option_names(options)
        if value not in narrowed:
            raise _not_offered(value, offered)
        offered = narrowed
    await options.nth(offered.index(value)).click(timeout=timeout_ms)


async def _find_options(finder: ElementFinder, field: Locator) -> Locator:
    """Return the visible options of the listbox that the field refers to, or else of any visible listbox."""
    page = field.page
    if listbox_id := await field.evaluate(OWN_LISTBOX_SCRIPT):
        options = page.locator(f"[id={json.dumps(listbox_id)}]").locator(LISTBOX_OPTIONS[0][0]).filter(visible=True)
        with contextlib.suppress(PlaywrightTimeout):
            await options.first.wait_for(timeout=OPTION_TIMEOUT_MS)
            return options
    match = await finder.find(page, LISTBOX_OPTIONS, timeout_ms=OPTION_TIMEOUT_MS)
    return locate(page, match.chain).filter(visible=True)


async def _type(field: Locator, value: str, timeout_ms: int) -> None:
    # A field that does not accept text has all its options in its list.
    with contextlib.suppress(Error):
        await field.fill(value, timeout=timeout_ms)


def _not_offered(value: str, offered: list[str]) -> ChoiceNotFound:
    choices = offered[:MAX_OFFERED]
    return ChoiceNotFound(
        f"The page does not offer {value!r}. It offers: {', '.join(choices) or 'nothing'}.", offered=choices
    )
