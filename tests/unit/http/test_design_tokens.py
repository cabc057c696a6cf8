"""The colours of the design tokens can be told apart."""

import itertools
import re

import pytest

from api.pages.design import DESIGN_DIR

TOKENS = (DESIGN_DIR / "tokens.css").read_text()
COLOUR = re.compile(r"--color-([a-z-]+): light-dark\((#[0-9a-f]{6})(?:[0-9a-f]{2})?, (#[0-9a-f]{6})(?:[0-9a-f]{2})?\);")
COLOURS = {name: (light, dark) for name, light, dark in COLOUR.findall(TOKENS)}
GROUNDS = ("page", "surface", "raised", "sunken")
TEXTS = ("text", "soft", "accent", "accent-strong", "good", "warning", "bad")
LEAST_FOR_TEXT, LEAST_FOR_CONTROLS = 4.5, 3.0


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_have_the_contrast_of_wcag_aa_on_every_ground(scheme: int) -> None:
    """Every text colour has at least 4.5:1 on every ground, and the label of a button on the accent."""
    pairs = [*itertools.product(TEXTS, GROUNDS), ("on-accent", "accent"), ("on-accent", "accent-strong")]
    contrasts = {pair: compute_contrast(*(COLOURS[name][scheme] for name in pair)) for pair in pairs}
    assert {pair: value for pair, value in contrasts.items() if value < LEAST_FOR_TEXT} == {}


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_bounds_of_controls_and_the_focus_ring_can_be_seen(scheme: int) -> None:
    """Lines around controls and the focus ring have at least 3:1 on every ground."""
    pairs = itertools.product(("line-strong", "focus"), GROUNDS)
    contrasts = {pair: compute_contrast(*(COLOURS[name][scheme] for name in pair)) for pair in pairs}
    assert {pair: value for pair, value in contrasts.items() if value < LEAST_FOR_CONTROLS} == {}


def compute_contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours as WCAG 2 defines it."""
    darker, lighter = sorted((compute_luminance(one), compute_luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def compute_luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as ``#aabbcc``."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
