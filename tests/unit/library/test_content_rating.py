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


@pytest.mark.parametrize(
    ("mask", "most", "allowed"),
    [
        (3, 2, True),
        (3, 1, False),
        (0, 0, True),
        (1, 0, False),
        (31, 16, True),
        (31, 31, True),
        (32, 31, False),
        (32, 63, True),
        (28, 3, False),
    ],
)
def test_the_highest_level_decides(mask: int, most: int, allowed: bool) -> None:
    """A model of PG and PG13 is one for those who want to see PG13."""
    assert content_rating.allowed(mask, most) is allowed


@given(st.integers(0, 63), st.integers(0, 6))
def test_with_whole_masks_it_is_plain_comparison(mask: int, bits: int) -> None:
    """As the catalogue's clients have it."""
    most = 2**bits - 1
    assert content_rating.allowed(mask, most) == (mask <= most)


@given(st.integers(-(2**70), 2**70))
def test_no_mask_is_too_odd(mask: int) -> None:
    """The highest level is one that exists, or none."""
    assert content_rating.highest_level(mask) in {0, *content_rating.NsfwLevel}
