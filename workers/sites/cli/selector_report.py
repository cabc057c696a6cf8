"""The looking for everything that a recipe names on its page, and the picture of what was found where."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from PIL import Image, ImageDraw
from playwright.async_api import FloatRect, Page

from schemas.sites.observe import Selectors
from schemas.sites.recipe import Loras, Recipe
from workers.sites.driver.selectors import locate, written

OUTLINE = (214, 40, 40)
LABEL_TEXT = (255, 255, 255)


class Need(StrEnum):
    """When an element must be on the page."""

    ALWAYS = "always"
    OPTIONAL = "optional"
    LATER = "later"


# The parts of an entry of the catalogue.
ENTRY_PARTS = {
    "name": Need.ALWAYS,
    "add": Need.ALWAYS,
    "image": Need.OPTIONAL,
    "tags": Need.OPTIONAL,
    "description": Need.OPTIONAL,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Something that a recipe names: what it is for, its alternatives, and when it must be there."""

    name: str
    selectors: Selectors
    need: Need


@dataclass(frozen=True, slots=True)
class Finding:
    """A place with the alternative that found it, or None, and where that is on the page."""

    place: Place
    matched: str | None
    box: FloatRect | None

    @property
    def first(self) -> str:
        """The alternative that was tried first: the place's name in the record of good runs."""
        return written(self.place.selectors[0])

    @property
    def missing(self) -> bool:
        """Whether the page lacks what it must have."""
        return self.matched is None and self.place.need is Need.ALWAYS


def places_of(recipe: Recipe) -> Iterator[Place]:
    """Everything with selectors that stands on the page itself, and not in what must be opened first."""
    for number, step in enumerate(recipe.steps):
        if step.selectors and step.visible:
            yield Place(f"steps[{number}] {step.name or step.type}", step.selectors, _need(step.when))
    for kind in ("preview", "progress", "done", "busy", "error", "human"):
        watch = getattr(recipe.observe, kind)
        if watch and watch.selectors:
            yield Place(f"observe.{kind}", watch.selectors, Need.LATER)
    if recipe.loras and recipe.loras.open:
        yield Place(f"loras.open[0] {recipe.loras.open[0].type}", recipe.loras.open[0].selectors, Need.ALWAYS)
    if recipe.capture.selectors:
        yield Place("capture", recipe.capture.selectors, Need.LATER)
    if recipe.session.signed_in:
        yield Place("session.signed_in", recipe.session.signed_in, Need.OPTIONAL)
    if recipe.quota:
        yield Place("quota.used", recipe.quota.used, Need.ALWAYS)
        yield Place("quota.limit", recipe.quota.limit, Need.ALWAYS)


def _need(when: str | None) -> Need:
    return Need.OPTIONAL if when else Need.ALWAYS


def places_in_catalogue(loras: Loras) -> Iterator[Place]:
    """What is there once the catalogue is open; what belongs to an entry is looked for inside the entries."""
    yield Place("loras.query", loras.query, Need.ALWAYS)
    yield Place("loras.item", loras.item, Need.ALWAYS)
    for part, need in ENTRY_PARTS.items():
        inner: Selectors = getattr(loras, part)
        if inner:
            yield Place(f"loras.{part}", tuple((*item, *one) for item in loras.item for one in inner), need)


async def look(page: Page, places: Iterable[Place]) -> list[Finding]:
    """Every place, on the page as it is now."""
    return [await _find(page, place) for place in places if place.selectors]


async def _find(page: Page, place: Place) -> Finding:
    for chain in place.selectors:
        element = locate(page, chain)
        if await element.count():
            return Finding(place, written(chain), await element.first.bounding_box())
    return Finding(place, None, None)


def annotated(screenshot: bytes, findings: list[Finding]) -> bytes:
    """The screenshot (PNG) with every element that was found outlined and labelled."""
    with Image.open(io.BytesIO(screenshot)) as image:
        drawn = image.convert("RGB")
    pen = ImageDraw.Draw(drawn)
    for finding in findings:
        if finding.box and finding.box["width"]:
            _outline(pen, finding.box, finding.place.name)
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
