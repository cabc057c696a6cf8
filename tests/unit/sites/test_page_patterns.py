"""Regular expressions of recipes meet texts of pages: they take linear time, whatever the pattern."""

import pytest
from marshmallow import ValidationError

from schemas.sites.observe_schemas import WatchSchema
from schemas.sites.page_patterns import PatternError, compile_pattern, find_text
from tests.support.linear_time import MAX_RATIO, growth
from workers.sites.observer.observer import parse_progress


@pytest.mark.parametrize("pattern", ["^(1+)+$", "(1|11)+$", "(1*)*x", "1*1*1*1*x"])
def test_no_pattern_takes_more_than_linear_time(pattern: str) -> None:
    """Python's own engine takes exponential or polynomial time for these."""
    assert growth(lambda length: compile_pattern(pattern).search("1" * length + "y")) <= MAX_RATIO


@pytest.mark.parametrize("pattern", [r"(?<=x)y", r"(a)\1", "(", "[", "x{100000}", "*"])
def test_patterns_that_the_engine_lacks_are_refused(pattern: str) -> None:
    """The recipe is refused with the reason."""
    with pytest.raises(PatternError):
        compile_pattern(pattern)
    with pytest.raises(ValidationError, match="RE2"):
        WatchSchema(("text",)).load({"selectors": ["#progress"], "pattern": pattern})


def test_the_first_group_is_the_text_that_counts() -> None:
    """Without a group that took part, the whole match counts."""
    assert find_text(r"failed: (\w+)", "it failed: boom") == "boom"
    assert find_text("b(x)?", "abc") == "b"
    assert find_text("y", "abc") is None


def test_progress_is_read_by_the_recipe_s_pattern() -> None:
    """Two groups are step and steps, one is a percentage; characters before it may take several bytes."""
    by_steps = parse_progress("\u5730\u56fe 12 of 20", r"(\d+) of (\d+)")
    assert by_steps
    assert (by_steps.step, by_steps.steps) == (12, 20)
    by_percentage = parse_progress("\u5730\u56fe 40 %", r"(\d+)\s*%")
    assert by_percentage
    assert by_percentage.percentage == 40
