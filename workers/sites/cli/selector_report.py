"""Checks that the elements of a recipe's selectors are usable for a person, and marks them on a screenshot."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.async_api import FloatRect, Locator, Page

from schemas.sites.observe import Selectors
from schemas.sites.recipe import LorasSpec, Recipe, Step
from workers.sites.driver.selectors import format_chain, locate
from workers.sites.observer.page_scripts import load_function

LOOK_SCRIPT = load_function(Path(__file__).with_name("look.js"))
HIDDEN = "hidden"
DISABLED = "disabled"
# Begins the words about an element that another one covers.
COVERED = "covered"
MAX_PROBLEM_CHARS = 300

OUTLINE = (214, 40, 40)
LABEL_TEXT = (255, 255, 255)


class Requirement(StrEnum):
    """When an element must be on the page, and whether a person must be able to use it."""

    ALWAYS = "always"
    ATTACHED = "attached"
    OPTIONAL = "optional"
    LATER = "later"


# The selectors of an entry of the LoRA catalogue.
ENTRY_FIELDS = {
    "name": Requirement.ALWAYS,
    "add": Requirement.ALWAYS,
    "image": Requirement.OPTIONAL,
    "tags": Requirement.OPTIONAL,
    "description": Requirement.OPTIONAL,
}


@dataclass(frozen=True, slots=True)
class SelectorTarget:
    """A key of the recipe with selectors: its name, the alternatives, and when the element must be there."""

    name: str
    selectors: Selectors
    requirement: Requirement
    is_filled: bool = False


@dataclass(frozen=True, slots=True)
class SelectorResult:
    """A target with the alternative that matched (None: no alternative) and the element's place on the page.

    ``problem`` says why a person cannot use the element; it is empty if nothing stands in the way.
    """

    target: SelectorTarget
    matched: str | None
    box: FloatRect | None
    problem: str = ""

    @property
    def first_selector(self) -> str:
        """The first alternative, under which good runs record what matched."""
        return format_chain(self.target.selectors[0])

    @property
    def is_missing(self) -> bool:
        """Whether a required element is not on the page."""
        return self.matched is None and self.is_required

    @property
    def is_required(self) -> bool:
        """Whether no job can do without the element."""
        return self.target.requirement in (Requirement.ALWAYS, Requirement.ATTACHED)


def step_target(number: int, step: Step) -> SelectorTarget:
    """Return the target of a step; for a step that opens something, the element that it makes visible."""
    name = f"steps[{number}] {step.name or step.type}"
    if step.when or step.image:
        requirement = Requirement.OPTIONAL
    else:
        requirement = Requirement.ATTACHED if step.name == "upload" or not step.visible else Requirement.ALWAYS
    return SelectorTarget(name, step.reveals or step.selectors, requirement, is_filled=step.type == "change")


def page_targets(recipe: Recipe) -> Iterator[SelectorTarget]:
    """Yield the targets besides those of the steps, except targets that must be opened first."""
    yield from _later_targets(recipe)
    if recipe.loras and recipe.loras.open:
        first_step = recipe.loras.open[0]
        yield SelectorTarget(f"loras.open[0] {first_step.type}", first_step.selectors, Requirement.ALWAYS)
    if recipe.capture.selectors:
        yield SelectorTarget("capture", recipe.capture.selectors, Requirement.LATER)
    if recipe.session.signed_in:
        yield SelectorTarget("session.signed_in", recipe.session.signed_in, Requirement.OPTIONAL)
    if recipe.quota:
        yield SelectorTarget("quota.used", recipe.quota.used, Requirement.ALWAYS)
        yield SelectorTarget("quota.limit", recipe.quota.limit, Requirement.ALWAYS)


def _later_targets(recipe: Recipe) -> Iterator[SelectorTarget]:
    """Yield the targets that appear only during a generation."""
    for kind in ("preview", "progress", "done", "busy", "until", "started", "human"):
        watch = getattr(recipe.observe, kind)
        if watch and watch.selectors:
            yield SelectorTarget(f"observe.{kind}", watch.selectors, Requirement.LATER)
    lists = {
        "observe.error": [error.selectors for error in recipe.observe.error],
        "cancel.steps": [step.selectors for step in recipe.cancel.steps] if recipe.cancel else [],
    }
    for name, entries in lists.items():
        for number, selectors in enumerate(entries):
            if selectors:
                yield SelectorTarget(f"{name}[{number}]", selectors, Requirement.LATER)


def catalogue_targets(loras: LorasSpec) -> Iterator[SelectorTarget]:
    """Yield the targets of the open LoRA catalogue; the fields of an entry are searched inside the entries."""
    yield SelectorTarget("loras.query", loras.query, Requirement.ALWAYS)
    yield SelectorTarget("loras.item", loras.item, Requirement.ALWAYS)
    for field, requirement in ENTRY_FIELDS.items():
        chains: Selectors = getattr(loras, field)
        if chains:
            nested = tuple((*item, *chain) for item in loras.item for chain in chains)
            yield SelectorTarget(f"loras.{field}", nested, requirement)


async def find_targets(page: Page, targets: Iterable[SelectorTarget]) -> list[SelectorResult]:
    """Return a result for each target that has selectors, without waiting for elements."""
    return [await _find(page, target) for target in targets if target.selectors]


async def _find(page: Page, target: SelectorTarget) -> SelectorResult:
    """Look for the alternative that a job would use: the first with a visible element."""
    hidden = None
    for chain in target.selectors:
        elements = locate(page, chain)
        visible = elements.filter(visible=True)
        if await visible.count():
            box = await visible.first.bounding_box()
            return SelectorResult(target, format_chain(chain), box, await _find_obstacle(visible.first, target))
        if hidden is None and await elements.count():
            hidden = SelectorResult(target, format_chain(chain), None, "" if _may_be_hidden(target) else HIDDEN)
    return hidden or SelectorResult(target, None, None)


async def _find_obstacle(element: Locator, target: SelectorTarget) -> str:
    if _may_be_hidden(target):
        return ""
    problem: str = await element.evaluate(LOOK_SCRIPT, target.is_filled)
    return problem[:MAX_PROBLEM_CHARS]


def _may_be_hidden(target: SelectorTarget) -> bool:
    return target.requirement in (Requirement.LATER, Requirement.ATTACHED)


def annotate(screenshot: bytes, results: list[SelectorResult]) -> bytes:
    """Return the screenshot (PNG) with all found elements outlined and labelled."""
    with Image.open(io.BytesIO(screenshot)) as image:
        canvas = image.convert("RGB")
    pen = ImageDraw.Draw(canvas)
    for result in results:
        if result.box and result.box["width"]:
            _outline(pen, result.box, result.target.name)
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return out.getvalue()


def _outline(pen: ImageDraw.ImageDraw, box: FloatRect, label: str) -> None:
    left, top = box["x"], box["y"]
    right, bottom = left + box["width"], top + box["height"]
    pen.rectangle((left, top, right, bottom), outline=OUTLINE, width=2)
    size = pen.textbbox((left + 3, max(0, top - 12)), label)
    pen.rectangle((size[0] - 3, size[1] - 1, size[2] + 3, size[3] + 1), fill=OUTLINE)
    pen.text((left + 3, max(0, top - 12)), label, fill=LABEL_TEXT)
