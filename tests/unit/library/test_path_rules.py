"""Epoch and title from file names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.library import path_rules


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("ink-e10", ("ink", 10)),
        ("ink-E3", ("ink", 3)),
        ("ink_epoch_10", ("ink", 10)),
        ("ink-epoch-4", ("ink", 4)),
        ("ink-000010", ("ink", 10)),
        ("my-ink-v2-000004", ("my-ink-v2", 4)),
        ("ink", None),
        ("ink-240115", None),
        ("ink-10", None),
        ("-e10", None),
        ("-000010", None),
        ("ink-e", None),
        ("epoch_10", None),
        ("ink-e\u0663", None),
        ("", None),
    ],
)
def test_epochs_are_parsed(stem: str, expected: tuple[str, int] | None) -> None:
    """Dates and versions are not epochs."""
    assert path_rules.parse_epoch(stem) == expected


@pytest.mark.parametrize(
    ("stem", "title"),
    [
        ("figma-mid_7984-vid_9413", "figma"),
        ("my_ink__style", "my ink style"),
        ("ink-v2.1", "ink-v2.1"),
        ("___", "___"),
        ("a\nb\u202egpj", "a bgpj"),
        ("-mid_1-vid_2", "-mid_1-vid_2"),
    ],
)
def test_titles_are_readable(stem: str, title: str) -> None:
    """They are one line and never empty."""
    assert path_rules.title_from_stem(stem) == title


@given(st.text(max_size=200))
def test_any_name_has_a_title(name: str) -> None:
    """An empty name has no title."""
    assert bool(path_rules.title_from_stem(name)) is bool(name)
    path_rules.parse_epoch(name)
