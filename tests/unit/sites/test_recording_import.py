"""Recordings of other programs, turned into the beginnings of a recipe."""

import json

import pytest

from schemas.errors import Invalid
from schemas.sites.recipe_schema import load_recipe
from schemas.sites.recording_import import import_recording

RECORDER = {
    "title": "Paint",
    "steps": [
        {"type": "setViewport", "width": 1280, "height": 900, "deviceScaleFactor": 1, "isMobile": False},
        {"type": "navigate", "url": "http://127.0.0.1:7860/", "assertedEvents": [{"type": "navigation"}]},
        {
            "type": "click",
            "target": "main",
            "selectors": [["aria/Prompt"], ["#prompt textarea"], ["pierce/#prompt textarea"]],
            "offsetX": 12,
            "offsetY": 8,
        },
        {"type": "change", "selectors": [["aria/Prompt"], ["#prompt textarea"]], "value": "a har"},
        {"type": "change", "selectors": [["aria/Prompt"], ["#prompt textarea"]], "value": "a harbour at night"},
        {"type": "change", "selectors": [["#negative_prompt textarea"]], "value": "people, boats and very long words"},
        {"type": "change", "selectors": [["aria/Seed"]], "value": "42"},
        {"type": "change", "selectors": [["#cfg-scale"]], "value": "7.5"},
        {"type": "click", "selectors": [["aria/Generate"], ["#host", "button"]]},
        {"type": "click", "selectors": [["aria/Close"]]},
        {"type": "emulateNetworkConditions", "download": 1},
    ],
}
LINES = [
    {"browserName": "chromium", "launchOptions": {"headless": False}, "contextOptions": {}},
    {"name": "openPage", "url": "about:blank", "signals": [], "pageGuid": "page@1"},
    {"name": "navigate", "url": "http://127.0.0.1:7860/", "signals": []},
    {
        "name": "fill",
        "selector": 'internal:label="Prompt"i',
        "text": "a harbour at night",
        "locator": {"kind": "label", "body": "Prompt", "options": {}},
    },
    {"name": "fill", "selector": 'internal:label="Seed"i', "text": "42"},
    {
        "name": "click",
        "selector": 'internal:role=button[name="Generate"i]',
        "locator": {"kind": "role", "body": "button", "options": {"name": "Generate"}},
    },
    {"name": "closePage"},
]


def test_a_recorders_export_becomes_a_recipe_that_loads() -> None:
    """The prompt and the inputs are guessed, repeats and unknown steps are gone, the right click submits."""
    skeleton = import_recording(json.dumps(RECORDER))
    recipe = load_recipe("mine", skeleton.recipe)

    assert ["{{prompt}}", "{{negative_prompt}}", "{{seed}}", "{{cfg}}"] == [
        step.value for step in recipe.steps if step.type == "change"
    ]
    assert {"negative_prompt": "string", "seed": "integer", "cfg": "number"} == {
        name: one.type for name, one in recipe.inputs.items()
    }
    [submitting] = [step for step in recipe.steps if step.submits]
    assert (("aria/Generate",), ("#host", "button")) == submitting.selectors
    assert "{{url}}" in [step.url for step in recipe.steps]
    assert any(sentence.startswith("observe.done") for sentence in skeleton.missing)


def test_playwrights_lines_become_a_recipe_that_loads() -> None:
    """As far as the format is known."""
    recipe = load_recipe("mine", import_recording("\n".join(map(json.dumps, LINES))).recipe)

    assert [(("aria/Prompt",),), (("aria/Seed",),), (('aria/Generate[role="button"]',),)] == [
        step.selectors for step in recipe.steps if step.selectors
    ]
    assert recipe.steps[-1].submits
    assert recipe.url == "http://127.0.0.1:7860/"


def test_what_could_not_be_guessed_is_said() -> None:
    """A recording without a prompt and without a click."""
    skeleton = import_recording(json.dumps({"steps": [{"type": "navigate", "url": "http://127.0.0.1/"}]}))

    assert [True, True] == [
        any(sentence.startswith(words) for sentence in skeleton.missing) for words in ("{{prompt}}", "submits")
    ]


@pytest.mark.parametrize(
    ("text", "words"), [("no json", "neither JSON"), ("[]", "no list 'steps'"), ('{"steps": []}', "opens no page")]
)
def test_what_is_no_recording_is_told_apart(text: str, words: str) -> None:
    """In one sentence."""
    with pytest.raises(Invalid, match=words):
        import_recording(text)


def test_what_a_recipe_cannot_have_is_left_out_and_said() -> None:
    """Steps of other kinds, steps that are not whole, frames; timeouts that are too long are cut."""
    odd = [
        {"type": "navigate", "url": "chrome://new-tab-page/"},
        {"type": "navigate", "url": "http://127.0.0.1:7860/", "timeout": 10**9},
        {"type": "change", "selectors": [["#a"]], "value": 7},
        {"type": "click", "selectors": [["#go"]], "frame": [0]},
        {"type": "waitForExpression", "expression": "true"},
        "nonsense",
    ]
    skeleton = import_recording(json.dumps({"title": "Odd", "steps": odd}))

    assert ["navigate", "click"] == [step["type"] for step in skeleton.recipe["steps"]]
    assert skeleton.recipe["steps"][0]["timeout"] == 120_000
    assert [2, 3, 4, 5] == [int(words.split()[1]) for words in skeleton.missing if words.startswith("step ")]
