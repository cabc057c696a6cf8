"""Words that name the purpose of a field."""

import re

import pytest

from schemas.sites.recipe_schema import INPUT_NAME_PATTERN
from workers.sites.learn.vocabulary import GENERATE, NEGATIVE, input_name, mentions, to_name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Seed", "seed"),
        ("随机种子", "seed"),
        ("num_inference_steps", "steps"),
        ("Number of images", "image_count"),
        ("Höhe", "height"),
        ("Guidance Scale", "cfg_scale"),
        ("Negative Prompt", "negative_prompt"),
        ("Ширина", "width"),
        ("Mystery", None),
        ("", None),
    ],
)
def test_input_names_follow_from_labels(label: str, name: str | None) -> None:
    """Several languages are known; unknown words give no name."""
    assert input_name(label) == name


@pytest.mark.parametrize(
    ("text", "is_found"),
    [("Go", True), ("Let's go!", True), ("Google", False), ("Runtime", False), ("生成图片", True)],
)
def test_short_words_must_match_whole(text: str, is_found: bool) -> None:
    """Long words match as the beginning of a word."""
    assert mentions(text, GENERATE) is is_found


def test_accents_and_case_do_not_matter() -> None:
    """Labels are written in many ways."""
    assert mentions("NÉGATIF", NEGATIVE)


@pytest.mark.parametrize(
    "text", ["3D Style 2", "Seed #1", "__x__", "a-1-b", "Ünï cödé", "123", "提示", "a" * 90, "x 2 3"]
)
def test_names_made_of_texts_are_valid(text: str) -> None:
    """An empty name means that the text has no usable letters."""
    name = to_name(text)

    assert name == "" or re.fullmatch(INPUT_NAME_PATTERN, name)
