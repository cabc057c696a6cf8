"""NSFW levels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.library import content_rating


@pytest.mark.parametrize(
    ("name", "level"),
    [("None", 1), ("Soft", 2), ("Mature", 4), ("X", 8), ("XXX", 16), ("blocked", 32), (" pg13 ", 2), ("?", 0), ("", 0)],
)
def test_level_names_are_recognized(name: str, level: int) -> None:
    """They include those of old Civitai responses."""
    assert content_rating.level_from_name(name) == level


@pytest.mark.parametrize(
    ("value", "level"),
    [(0, 0), (1, 1), (2, 2), (3, 4), (4, 4), (8, 8), (16, 16), (32, 32), (5, None), (-1, None), (64, None), (31, None)],
)
def test_upload_values_map_to_levels(value: int, level: int | None) -> None:
    """Steps and bits agree where they overlap, so a level that was read can be written back."""
    assert content_rating.level_from_upload(value) == level


@pytest.mark.parametrize(("mask", "level"), [(0, 0), (1, 1), (3, 2), (28, 16), (31, 16), (32, 32), (63, 32), (64, 0)])
def test_highest_level_of_a_mask(mask: int, level: int) -> None:
    """Unknown bits are ignored."""
    assert content_rating.highest_level(mask) == level


@given(st.integers(-(2**70), 2**70))
def test_any_mask_has_a_valid_highest_level(mask: int) -> None:
    """The level is 0 for a mask without known bits."""
    assert content_rating.highest_level(mask) in {0, *content_rating.NsfwLevel}
