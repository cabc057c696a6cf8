"""Drafts of recipes from recordings of other programs."""

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


def test_an_export_of_chromes_recorder_becomes_a_valid_recipe() -> None:
    """Prompt, inputs and submitting click are guessed; repeated and unsupported steps are dropped."""
    draft = import_recording(json.dumps(RECORDER))
    recipe = load_recipe("mine", draft.recipe)

    assert ["{{prompt}}", "{{negative_prompt}}", "{{seed}}", "{{cfg}}"] == [
        step.value for step in recipe.steps if step.type == "change"
    ]
    assert {"negative_prompt": "string", "seed": "integer", "cfg": "number"} == {
        name: spec.type for name, spec in recipe.inputs.items()
    }
    [submitting] = [step for step in recipe.steps if step.submits]
    assert (("aria/Generate",), ("#host", "button")) == submitting.selectors
    assert "{{url}}" in [step.url for step in recipe.steps]
    assert any(sentence.startswith("observe.done") for sentence in draft.missing)


def test_a_playwright_recording_becomes_a_valid_recipe() -> None:
    """The known kinds of actions are converted."""
    recipe = load_recipe("mine", import_recording("\n".join(map(json.dumps, LINES))).recipe)

    assert [(("aria/Prompt",),), (("aria/Seed",),), (('aria/Generate[role="button"]',),)] == [
        step.selectors for step in recipe.steps if step.selectors
    ]
    assert recipe.steps[-1].submits
    assert recipe.url == "http://127.0.0.1:7860/"


def test_what_cannot_be_guessed_is_listed_as_missing() -> None:
    """A recording without a prompt and a click lacks both."""
    draft = import_recording(json.dumps({"steps": [{"type": "navigate", "url": "http://127.0.0.1/"}]}))

    assert [True, True] == [
        any(sentence.startswith(start) for sentence in draft.missing) for start in ("{{prompt}}", "submits")
    ]


@pytest.mark.parametrize(
    ("text", "message"), [("no json", "neither JSON"), ("[]", "no list 'steps'"), ('{"steps": []}', "opens no page")]
)
def test_a_text_that_is_not_a_recording_is_rejected(text: str, message: str) -> None:
    """The message states the reason."""
    with pytest.raises(Invalid, match=message):
        import_recording(text)


def test_unsupported_steps_are_dropped_and_listed() -> None:
    """Unknown and incomplete steps are dropped, frames are reported, and long timeouts are reduced."""
    steps = [
        {"type": "navigate", "url": "chrome://new-tab-page/"},
        {"type": "navigate", "url": "http://127.0.0.1:7860/", "timeout": 10**9},
        {"type": "change", "selectors": [["#a"]], "value": 7},
        {"type": "click", "selectors": [["#go"]], "frame": [0]},
        {"type": "waitForExpression", "expression": "true"},
        "nonsense",
    ]
    draft = import_recording(json.dumps({"title": "Odd", "steps": steps}))

    assert ["navigate", "click"] == [step["type"] for step in draft.recipe["steps"]]
    assert draft.recipe["steps"][0]["timeout"] == 120_000
    assert [2, 3, 4, 5] == [int(sentence.split()[1]) for sentence in draft.missing if sentence.startswith("step ")]
