"""The looking for everything that a recipe names on its page, and the picture of what was found where."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from PIL import Image, ImageDraw
from playwright.async_api import FloatRect, Page

from schemas.sites.observe import Selectors
from schemas.sites.recipe import LorasSpec, Recipe
from workers.sites.driver.selectors import format_chain, locate

OUTLINE = (214, 40, 40)
LABEL_TEXT = (255, 255, 255)


class Requirement(StrEnum):
    """When an element must be on the page."""

    ALWAYS = "always"
    OPTIONAL = "optional"
    LATER = "later"


# The parts of an entry of the catalogue.
ENTRY_FIELDS = {
    "name": Requirement.ALWAYS,
    "add": Requirement.ALWAYS,
    "image": Requirement.OPTIONAL,
    "tags": Requirement.OPTIONAL,
    "description": Requirement.OPTIONAL,
}


@dataclass(frozen=True, slots=True)
class SelectorTarget:
    """Something that a recipe names: what it is for, its alternatives, and when it must be there."""

    name: str
    selectors: Selectors
    requirement: Requirement


@dataclass(frozen=True, slots=True)
class SelectorResult:
    """A place with the alternative that found it, or None, and where that is on the page."""

    target: SelectorTarget
    matched: str | None
    box: FloatRect | None

    @property
    def first_selector(self) -> str:
        """The alternative that was tried first: the place's name in the record of good runs."""
        return format_chain(self.target.selectors[0])

    @property
    def is_missing(self) -> bool:
        """Whether the page lacks what it must have."""
        return self.matched is None and self.target.requirement is Requirement.ALWAYS


def page_targets(recipe: Recipe) -> Iterator[SelectorTarget]:
    """Everything with selectors that stands on the page itself, and not in what must be opened first."""
    for number, step in enumerate(recipe.steps):
        if step.selectors and step.visible:
            yield SelectorTarget(f"steps[{number}] {step.name or step.type}", step.selectors, _requirement(step.when))
    for kind in ("preview", "progress", "done", "busy", "error", "human"):
        watch = getattr(recipe.observe, kind)
        if watch and watch.selectors:
            yield SelectorTarget(f"observe.{kind}", watch.selectors, Requirement.LATER)
    if recipe.loras and recipe.loras.open:
        yield SelectorTarget(
            f"loras.open[0] {recipe.loras.open[0].type}", recipe.loras.open[0].selectors, Requirement.ALWAYS
        )
    if recipe.capture.selectors:
        yield SelectorTarget("capture", recipe.capture.selectors, Requirement.LATER)
    if recipe.session.signed_in:
        yield SelectorTarget("session.signed_in", recipe.session.signed_in, Requirement.OPTIONAL)
    if recipe.quota:
        yield SelectorTarget("quota.used", recipe.quota.used, Requirement.ALWAYS)
        yield SelectorTarget("quota.limit", recipe.quota.limit, Requirement.ALWAYS)


def _requirement(when: str | None) -> Requirement:
    return Requirement.OPTIONAL if when else Requirement.ALWAYS


def catalogue_targets(loras: LorasSpec) -> Iterator[SelectorTarget]:
    """What is there once the catalogue is open; what belongs to an entry is looked for inside the entries."""
    yield SelectorTarget("loras.query", loras.query, Requirement.ALWAYS)
    yield SelectorTarget("loras.item", loras.item, Requirement.ALWAYS)
    for part, need in ENTRY_FIELDS.items():
        inner: Selectors = getattr(loras, part)
        if inner:
            yield SelectorTarget(f"loras.{part}", tuple((*item, *one) for item in loras.item for one in inner), need)


async def find_targets(page: Page, targets: Iterable[SelectorTarget]) -> list[SelectorResult]:
    """Every place, on the page as it is now."""
    return [await _find(page, place) for place in targets if place.selectors]


async def _find(page: Page, target: SelectorTarget) -> SelectorResult:
    for chain in target.selectors:
        element = locate(page, chain)
        if await element.count():
            return SelectorResult(target, format_chain(chain), await element.first.bounding_box())
    return SelectorResult(target, None, None)


def annotate(screenshot: bytes, results: list[SelectorResult]) -> bytes:
    """The screenshot (PNG) with every element that was found outlined and labelled."""
    with Image.open(io.BytesIO(screenshot)) as image:
        drawn = image.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    for finding in results:
        if finding.box and finding.box["width"]:
            _outline(pen, finding.box, finding.target.name)
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()


def _outline(pen: ImageDraw.ImageDraw, box: FloatRect, label: str) -> None:
    left, top = box["x"], box["y"]
    right, bottom = left + box["width"], top + box["height"]
    pen.rectangle((left, top, right, bottom), outline=OUTLINE, width=2)
    size = pen.textbbox((left + 3, max(0, top - 12)), label)
    pen.rectangle((size[0] - 3, size[1] - 1, size[2] + 3, size[3] + 1), fill=OUTLINE)
    pen.text((left + 3, max(0, top - 12)), label, fill=LABEL_TEXT)
