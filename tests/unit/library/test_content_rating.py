"""Levels of what is not for everybody, and who sees what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.library import content_rating


@pytest.mark.parametrize(
    ("word", "level"),
    [("None", 1), ("Soft", 2), ("Mature", 4), ("X", 8), ("XXX", 16), ("blocked", 32), (" pg13 ", 2), ("?", 0), ("", 0)],
)
def test_words_are_levels(word: str, level: int) -> None:
    """Those of old answers too."""
    assert content_rating.level_from_name(word) == level


@pytest.mark.parametrize(
    ("said", "level"),
    [(0, 0), (1, 1), (2, 2), (3, 4), (4, 4), (8, 8), (16, 16), (32, 32), (5, None), (-1, None), (64, None), (31, None)],
)
def test_uploads_say_a_step_or_a_bit(said: int, level: int | None) -> None:
    """By one table; steps and bits agree where they meet, so that what was read can be written back."""
    assert content_rating.level_from_upload(said) == level


@pytest.mark.parametrize(("mask", "level"), [(0, 0), (1, 1), (3, 2), (28, 16), (31, 16), (32, 32), (63, 32), (64, 0)])
def test_the_highest_level_of_a_mask(mask: int, level: int) -> None:
    """The highest known bit; unknown bits are ignored."""
    assert content_rating.highest_level(mask) == level


@given(st.integers(-(2**70), 2**70))
def test_no_mask_is_too_odd(mask: int) -> None:
    """The highest level is one that exists, or none."""
    assert content_rating.highest_level(mask) in {0, *content_rating.NsfwLevel}
