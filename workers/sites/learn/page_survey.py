"""A recipe for a page of unknown make: found by the roles and names of its elements, and by one generation.

The prompt is the text field whose name says so, the button the one whose name says that it generates, and the result is
the picture that is new after the button was pressed. Where more than one element fits, or none, the draft or the error
says so.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from playwright.async_api import BrowserContext, Error, Page

from workers.sites.learn.drafts import DraftError
from workers.sites.learn.recipe_draft import RecipeDraft
from workers.sites.learn.trial import TRIAL_PROMPT
from workers.sites.learn.vocabulary import GENERATE, NEGATIVE, OTHER_TASKS, PROMPT, mentions
from workers.sites.observer.page_scripts import load_function

SCRIPT = load_function(Path(__file__).with_name("page_survey.js"))
LOAD_TIMEOUT_MS = 60_000
FIELDS_TIMEOUT_S = 20.0
POLL_INTERVAL_MS = 250
# A picture that does not change for so long, while nothing says that the page works, is finished.
SETTLE_S = 3.0
MAX_LISTED = 8
MAX_NAME_CHARS = 60


@dataclass(frozen=True, slots=True)
class Element:
    """An element of the page with its accessible name; a picture has a ``kind``, and ``content`` identifies it."""

    selector: str
    name: str = ""
    kind: str = ""
    content: str = ""
    area: float = 0.0
    disabled: bool = False

    @classmethod
    def from_page(cls, raw: Mapping[str, Any]) -> Self:
        """Return the element that the page's script describes."""
        return cls(**{key: value for key, value in raw.items() if key in cls.__slots__})

    @property
    def label(self) -> str:
        """The element for people."""
        return f'"{self.name[:MAX_NAME_CHARS]}"' if self.name else self.selector


@dataclass(frozen=True, slots=True)
class Survey:
    """The elements that a person can see on the page at one moment."""

    fields: tuple[Element, ...]
    buttons: tuple[Element, ...]
    pictures: tuple[Element, ...]
    busy: tuple[str, ...]
    errors: tuple[Element, ...]

    def is_busy(self, button: Element) -> bool:
        """Whether the page shows that it works: a sign of progress, or its button is disabled."""
        return bool(self.busy) or any(other.selector == button.selector and other.disabled for other in self.buttons)


@dataclass(slots=True)
class _Generation:
    """The observations after the button was pressed."""

    pictures: tuple[Element, ...] = ()
    busy: list[str] = field(default_factory=list)
    errors: list[Element] = field(default_factory=list)


async def learn_from_page(
    context: BrowserContext, url: str, timeout_s: float, report: Callable[[str], None]
) -> RecipeDraft:
    """Return the recipe of the page at ``url``, after one generation on it that takes at most ``timeout_s``.

    Raises:
        DraftError: an element cannot be identified, or no new picture appeared.
    """
    try:
        page = await context.new_page()
        await page.goto(url, timeout=LOAD_TIMEOUT_MS, wait_until="domcontentloaded")
        before = await _await_fields(page)
        prompt, prompt_doubts = choose_prompt(before.fields)
        button, button_doubts = choose_button(before.buttons)
        report(f"The prompt seems to go to {prompt.label}, and {button.label} seems to submit it.")
        generation = await _generate(page, prompt, button, before, timeout_s)
        title = (await page.title()).strip()
    except Error as error:
        raise DraftError(f"the page cannot be used: {error.message.partition(chr(10))[0]}") from error
    recipe, doubts = _write_recipe(url, title, prompt, button, generation)
    result = recipe["observe"]["done"]["selectors"][0]
    summary = f"The prompt goes to {prompt.label}, {button.label} submits it, and the result appears at {result}."
    page_name = f"the page {title!r}" if title else "the page"
    return RecipeDraft(recipe, page_name, summary, (*prompt_doubts, *button_doubts, *doubts))


async def survey_page(page: Page) -> Survey:
    """Return the elements that the page shows now."""
    raw: dict[str, list[Any]] = await page.evaluate(f"({SCRIPT})()")
    elements = {
        kind: tuple(Element.from_page(item) for item in raw[kind])
        for kind in ("fields", "buttons", "pictures", "errors")
    }
    return Survey(busy=tuple(raw["busy"]), **elements)


async def _await_fields(page: Page) -> Survey:
    """Return the page's first survey with a text field and a button, or the last one before the timeout."""
    give_up_at = time.monotonic() + FIELDS_TIMEOUT_S
    while True:
        survey = await survey_page(page)
        if (survey.fields and survey.buttons) or time.monotonic() > give_up_at:
            return survey
        await page.wait_for_timeout(POLL_INTERVAL_MS)


def choose_prompt(fields: Sequence[Element]) -> tuple[Element, tuple[str, ...]]:
    """Return the field for the prompt, and doubts about it.

    Raises:
        DraftError: the page has no text field.
    """
    candidates = [text_field for text_field in fields if not mentions(text_field.name, NEGATIVE)]
    if not candidates:
        raise DraftError("the page shows no text field for a prompt; a login or another view may come first.")
    named = [text_field for text_field in candidates if mentions(f"{text_field.name} {text_field.selector}", PROMPT)]
    chosen = max(named or candidates, key=lambda text_field: text_field.area)
    others = [text_field for text_field in (named or candidates) if text_field is not chosen]
    if not others:
        return chosen, ()
    reason = "by its size" if named else "by its size alone, because no name says what it is for"
    return chosen, (f"{chosen.label} was taken for the prompt {reason}. Other fields: {_names(others)}.",)


def choose_button(buttons: Sequence[Element]) -> tuple[Element, tuple[str, ...]]:
    """Return the button that submits the prompt, and doubts about it.

    Raises:
        DraftError: no button's name says that it generates, and there is more than one.
    """
    enabled = [button for button in buttons if button.name or len(buttons) == 1]
    named = [button for button in enabled if mentions(button.name, GENERATE) and not mentions(button.name, OTHER_TASKS)]
    if not named and len(enabled) != 1:
        raise DraftError(f"no button's name says that it generates. The page's buttons: {_names(enabled) or 'none'}.")
    chosen, *others = named or enabled
    doubts = [f"{chosen.label} was taken for the button that submits. Others: {_names(others)}."] if others else []
    if not named:
        doubts.append(f"{chosen.label} is the only button, so it was taken for the one that submits.")
    return chosen, tuple(doubts)


async def _generate(page: Page, prompt: Element, button: Element, before: Survey, timeout_s: float) -> _Generation:
    """Submit a prompt and watch until new pictures have not changed for a while.

    Raises:
        DraftError: none appeared in time.
    """
    await page.locator(prompt.selector).fill(TRIAL_PROMPT)
    await page.locator(button.selector).click()
    seen = _Generation()
    known = {(element.selector, element.content) for element in before.pictures}
    started_at = changed_at = time.monotonic()
    while time.monotonic() < started_at + timeout_s:
        now = await survey_page(page)
        pictures = tuple(element for element in now.pictures if (element.selector, element.content) not in known)
        if pictures != seen.pictures or now.is_busy(button):
            changed_at = time.monotonic()
        seen.pictures = pictures
        _note_signs(seen, before, now, button)
        if pictures and time.monotonic() >= changed_at + SETTLE_S:
            return seen
        await page.wait_for_timeout(POLL_INTERVAL_MS)
    words = "; ".join(element.name.rstrip(".") for element in seen.errors)
    shown = f" The page shows: {words}." if words else ""
    raise DraftError(f"no new picture appeared within {timeout_s:g} s after {button.label} was pressed.{shown}")


def _note_signs(seen: _Generation, before: Survey, now: Survey, button: Element) -> None:
    """Add the signs of work and the errors that were not on the page before."""
    signs = [item for item in now.busy if item not in before.busy]
    if any(item.selector == button.selector and item.disabled for item in now.buttons) and not button.disabled:
        signs.insert(0, f"{button.selector}:disabled")
    seen.busy += [item for item in signs if item not in seen.busy]
    seen.errors += [item for item in now.errors if item.name and item not in (*seen.errors, *before.errors)]


def _write_recipe(
    url: str, title: str, prompt: Element, button: Element, seen: _Generation
) -> tuple[dict[str, Any], list[str]]:
    """Return the recipe and the doubts about it."""
    selectors = list(dict.fromkeys(element.selector for element in seen.pictures))
    first = next(element for element in seen.pictures if element.selector == selectors[0])
    picture = {"selectors": [selectors[0]], "source": first.kind}
    observe: dict[str, Any] = {"done": {**picture, "settle_ms": 500 if seen.busy else round(SETTLE_S * 1000)}}
    doubts = ["It is unknown where the page shows errors; see observe.error in docs/recipes.md."]
    if seen.busy:
        observe |= {"busy": {"selectors": seen.busy}, "preview": picture}
    else:
        doubts.append(
            f"The page does not show that it works, so a picture that stays the same for {SETTLE_S:g} s is finished."
        )
    if len(selectors) > 1:
        doubts.append(f"New pictures also appeared at: {', '.join(selectors[1:MAX_LISTED])}.")
    recipe = {
        "title": title or "A page",
        "description": f"A page at {url}, whose elements were found by their roles and names.",
        "url": url,
        "consent": {"ownership": "own"},
        "limits": {"concurrency": 1, "min_interval_s": 0},
        "steps": [
            {"type": "navigate", "url": "{{url}}", "timeout": LOAD_TIMEOUT_MS},
            {
                "type": "change",
                "selectors": _alternatives(prompt, ""),
                "value": "{{prompt}}",
                "timeout": LOAD_TIMEOUT_MS,
            },
            {"type": "click", "selectors": _alternatives(button, '[role="button"]'), "submits": True},
        ],
        "observe": observe,
        "capture": {"many": sum(element.selector == selectors[0] for element in seen.pictures) > 1},
    }
    return recipe, doubts


def _alternatives(element: Element, role: str) -> list[str]:
    """Return the selectors of an element: its name outlives its place, but an id outlives both."""
    named = [f"aria/{element.name}{role}"] if element.name else []
    return [element.selector, *named] if element.selector.startswith("#") else [*named, element.selector]


def _names(elements: Sequence[Element]) -> str:
    return ", ".join(element.label for element in elements[:MAX_LISTED])
