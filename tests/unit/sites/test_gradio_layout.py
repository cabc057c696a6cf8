"""Reading of the layouts that Gradio apps publish, and the recipes made from them."""

import tomllib
from typing import Any

import pytest

from schemas.sites.recipe_schema import load_recipe
from workers.sites.learn.detection import DetectedProgram
from workers.sites.learn.drafts import DraftError, learn_from_layout
from workers.sites.learn.gradio_layout import read_layout
from workers.sites.learn.recipe_draft import RecipeDraft
from workers.sites.learn.recipe_files import render_file

URL = "http://127.0.0.1:7860/"


def component(identifier: int, kind: str, **props: Any) -> dict[str, Any]:
    """Return a component as Gradio publishes it."""
    return {"id": identifier, "type": kind, "props": props}


def tree(*children: Any) -> dict[str, Any]:
    """Return a layout tree; a child is an id or a pair of an id and its children."""
    nodes = [child if isinstance(child, tuple) else (child, ()) for child in children]
    return {
        "children": [{"id": identifier, "children": tree(*inner)["children"]} for identifier, inner in nodes],
        "id": 9999,
    }


def event(targets: Any, inputs: list[int], outputs: list[int], **more: Any) -> dict[str, Any]:
    """Return an event as Gradio 4 and later publish it."""
    return {"targets": targets, "inputs": inputs, "outputs": outputs, "backend_fn": True, **more}


def config(components: list[dict[str, Any]], dependencies: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a configuration with all components at the top level unless ``layout`` says otherwise."""
    layout = tree(*(component["id"] for component in components))
    return {"version": "6.31.0", "components": components, "dependencies": dependencies, "layout": layout, **more}


def learn(raw: dict[str, Any]) -> list[RecipeDraft]:
    """Return the drafts for a configuration, each of which must be a valid recipe."""
    drafts = learn_from_layout(DetectedProgram(URL, "Gradio", "", None, raw))
    for draft in drafts:
        load_recipe("learned", draft.recipe)
    return drafts


PROMPT = component(1, "textbox", label="Prompt")
BUTTON = component(2, "button", value="Generate")
IMAGE = component(3, "image", label="Result")


def steps(draft: RecipeDraft) -> list[tuple[str, Any, str]]:
    """Return type, first selector and value of each step."""
    return [
        (step["type"], (step.get("selectors") or [""])[0], step.get("value", step.get("key", "")))
        for step in draft.recipe["steps"]
    ]


def test_a_prompt_a_button_and_an_image_make_a_recipe() -> None:
    """Navigate, wait, fill in, submit."""
    (draft,) = learn(config([PROMPT, BUTTON, IMAGE], [event([[2, "click"]], [1], [3])]))

    assert steps(draft) == [
        ("navigate", "", ""),
        ("waitForElement", "aria/Prompt", ""),
        ("change", "aria/Prompt", "{{prompt}}"),
        ("click", 'aria/Generate[role="button"]', ""),
    ]
    assert draft.recipe["steps"][-1]["submits"] is True
    assert draft.recipe["capture"] == {"many": False}
    assert draft.doubts == ()


@pytest.mark.parametrize(
    "targets",
    [
        {"targets": [[2, "click"]]},
        # Before Gradio 3.39.
        {"targets": [2], "trigger": "click"},
        {"targets": [[1, "submit"], [2, "click"]]},
    ],
)
def test_all_forms_of_triggers_are_read(targets: dict[str, Any]) -> None:
    """A button is preferred to the Enter key."""
    (draft,) = learn(config([PROMPT, BUTTON, IMAGE], [{**event([], [1], [3]), **targets}]))

    assert steps(draft)[-1][:2] == ("click", 'aria/Generate[role="button"]')


def test_component_ids_are_used_before_gradio_6_only() -> None:
    """Gradio 6 gives elements no ids."""
    parts = ([PROMPT, BUTTON, IMAGE], [event([[2, "click"]], [1], [3])])

    assert "#component-2" in str(learn(config(*parts, version="5.50.0"))[0].recipe)
    assert "component-" not in str(learn(config(*parts, version="6.0.0"))[0].recipe)


def test_a_chain_of_events_is_followed_to_its_button() -> None:
    """The inputs of all links count."""
    seed = component(4, "number", label="Seed", precision=0)
    chain = [
        event([[2, "click"]], [4], [4], id=10),
        event([[None, "then"]], [1], [3], id=11, trigger_after=10),
    ]
    (draft,) = learn(config([PROMPT, BUTTON, IMAGE, seed], chain))

    assert draft.recipe["inputs"] == {"seed": {"label": "Seed", "type": "integer"}}


def test_a_chain_that_follows_itself_ends() -> None:
    """A circle of events has no trigger, so it is no candidate."""
    circle = [
        event([[None, "then"]], [1], [3], id=1, trigger_after=2),
        event([[None, "then"]], [1], [3], id=2, trigger_after=1),
    ]
    with pytest.raises(DraftError, match="No event"):
        learn(config([PROMPT, BUTTON, IMAGE], circle))


def test_bounds_choices_and_defaults_are_taken_over() -> None:
    """They are those that the component states."""
    fields = [
        component(4, "slider", label="Width", minimum=256, maximum=1024, step=64, value=512),
        component(5, "slider", label="Guidance", minimum=0, maximum=10, step=0.5, value=7.5),
        component(6, "dropdown", label="Sampler", choices=[["Euler", "e"], ["Heun", "h"]], value="h"),
        component(7, "radio", label="Format", choices=["Square", "Wide"], value="Wide"),
        component(8, "checkbox", label="Tiling", value=True),
        component(9, "number", label="Blur", value=0.5, minimum=0, maximum=1),
    ]
    (draft,) = learn(config([PROMPT, BUTTON, IMAGE, *fields], [event([[2, "click"]], [1, 4, 5, 6, 7, 8, 9], [3])]))

    assert draft.recipe["inputs"] == {
        "width": {
            "label": "Width", "minimum": 256, "maximum": 1024, "multiple_of": 64, "type": "integer", "default": 512,
        },
        "cfg_scale": {"label": "Guidance", "minimum": 0, "maximum": 10, "type": "number", "default": 7.5},
        "sampler": {"label": "Sampler", "type": "string", "choices": ["Euler", "Heun"], "default": "Heun"},
        "aspect_ratio": {"label": "Format", "type": "string", "choices": ["Square", "Wide"], "default": "Wide"},
        "tiling": {"label": "Tiling", "type": "boolean", "default": True},
        "blur": {"label": "Blur", "minimum": 0, "maximum": 1, "type": "number", "default": 0.5},
    }  # fmt: skip


def test_fields_of_the_same_label_get_different_names() -> None:
    """And a doubt, because only their positions tell them apart."""
    fields = [component(number, "slider", label="Style") for number in (4, 5, 6)]
    (draft,) = learn(config([PROMPT, BUTTON, IMAGE, *fields], [event([[2, "click"]], [1, 4, 5, 6], [3])]))

    assert list(draft.recipe["inputs"]) == ["style", "style_b", "style_c"]
    assert sum("found only by its position" in doubt for doubt in draft.doubts) == 3
    selectors = [step["selectors"] for step in draft.recipe["steps"] if step.get("when")]
    assert selectors == [[f":nth-match(.block input[type='number']:visible, {number})"] for number in (1, 2, 3)]


def test_tabs_and_accordions_are_opened_once() -> None:
    """Open tab pages and open accordions are left alone."""
    components = [
        component(10, "tabs"),
        component(11, "tabitem", label="About"),
        component(12, "tabitem", label="Make"),
        component(13, "accordion", label="More", open=False),
        component(14, "accordion", label="Open", open=True),
        PROMPT, BUTTON, IMAGE,
        component(4, "slider", label="Steps", minimum=1, maximum=9, step=1, value=3),
        component(5, "slider", label="Strength", minimum=0, maximum=1, step=0.1, value=1),
        component(6, "textbox", label="Negative"),
    ]  # fmt: skip
    layout = tree((10, (11, (12, (1, (13, (4, 5)), (14, (6,)), 2, 3)))))
    (draft,) = learn(config(components, [event([[2, "click"]], [1, 4, 5, 6], [3])], layout=layout))

    assert draft.recipe["steps"][2]["selectors"][1] == [".tab-nav", 'aria/Make[role="button"]']
    opened = [step for step in draft.recipe["steps"] if step.get("name") == "open"]
    assert opened[0]["selectors"][0] == 'aria/Make[role="tab"]'
    assert "'More'" in opened[1]["selectors"][0]
    # Each is left alone if what it holds is visible already.
    assert opened[0]["reveals"][0] == "aria/Prompt"
    assert "'Steps'" in opened[1]["reveals"][0][0]
    assert len(opened) == 2


def test_a_field_without_a_certain_place_is_reached_by_clicks() -> None:
    """Its position counts only among the fields that are visible with it, so it may not be looked for before."""
    components = [
        component(10, "tabs"),
        component(11, "tabitem", label="About"),
        component(12, "tabitem", label="Make"),
        component(1, "textbox", label=""),
        BUTTON,
        IMAGE,
    ]
    layout = tree((10, (11, (12, (1, 2, 3)))))
    (draft,) = learn(config(components, [event([[2, "click"]], [1], [3])], layout=layout))

    assert [kind for kind, _, _ in steps(draft)] == ["navigate", "waitForElement", "click", "change", "click"]


def test_the_selected_tab_is_not_opened() -> None:
    """``selected`` of the group decides, not the order."""
    components = [
        component(10, "tabs", selected="make"),
        component(11, "tabitem", label="About", id="about"),
        component(12, "tabitem", label="Make", id="make"),
        PROMPT,
        BUTTON,
        IMAGE,
    ]
    layout = tree((10, (11, (12, (1, 2, 3)))))
    (draft,) = learn(config(components, [event([[2, "click"]], [1], [3])], layout=layout))

    assert [kind for kind, _, _ in steps(draft)] == ["navigate", "waitForElement", "change", "click"]


def test_a_seed_turns_the_random_seed_off() -> None:
    """Otherwise the page would ignore the number."""
    fields = [
        component(4, "slider", label="Seed", minimum=0, maximum=99, step=1, value=0),
        component(5, "checkbox", label="Randomize seed", value=True),
    ]
    (draft,) = learn(config([PROMPT, BUTTON, IMAGE, *fields], [event([[2, "click"]], [1, 4, 5], [3])]))

    assert list(draft.recipe["inputs"]) == ["seed"]
    conditional = [step for step in draft.recipe["steps"] if step.get("when") == "seed"]
    assert [step["value"] for step in conditional] == ["false", "{{seed}}"]


def test_hidden_and_read_only_fields_are_no_inputs() -> None:
    """Nobody can fill them in on the page."""
    fields = [
        component(4, "textbox", label="Token", visible=False),
        component(5, "textbox", label="Status", interactive=False),
        component(6, "state"),
    ]
    (draft,) = learn(config([PROMPT, BUTTON, IMAGE, *fields], [event([[2, "click"]], [1, 4, 5, 6], [3])]))

    assert draft.recipe["inputs"] == {}


def test_a_field_for_a_key_is_neither_prompt_nor_input() -> None:
    """Secrets are not part of jobs; the doubts name the field."""
    key = component(4, "textbox", label="API key for the prompt", type="password")
    (draft,) = learn(config([key, PROMPT, BUTTON, IMAGE], [event([[2, "click"]], [4, 1], [3])]))

    assert draft.recipe["inputs"] == {}
    assert any("API key" in doubt and "password" in doubt for doubt in draft.doubts)


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        (["Negative prompt", "Prompt"], "Prompt"),
        (["反向提示词", "提示词"], "提示词"),
        (["ネガティブプロンプト", "プロンプト"], "プロンプト"),
        (["Negativer Prompt", "Beschreibung"], "Beschreibung"),
        (["Отрицательный запрос", "Запрос"], "Запрос"),
        (["Name", "Describe your picture"], "Describe your picture"),
        (["First", "Second"], "First"),
    ],
)
def test_the_prompt_is_recognized_by_its_words(labels: list[str], chosen: str) -> None:
    """Several languages are known; without known words the first text field is taken."""
    texts = [component(10 + number, "textbox", label=label) for number, label in enumerate(labels)]
    (draft,) = learn(config([*texts, BUTTON, IMAGE], [event([[2, "click"]], [10, 11], [3])]))

    assert (f"aria/{chosen}", "{{prompt}}") in [(selector, value) for _, selector, value in steps(draft)]


def test_the_main_event_comes_before_others() -> None:
    """An event with another task, or with a source picture, is less likely; the doubts name it."""
    source = component(4, "image", label="Source")
    buttons = [component(5, "button", value="Upscale"), component(6, "button", value="Redraw")]
    events = [
        event([[5, "click"]], [1, 4], [3]),
        event([[6, "click"]], [4, 1], [3]),
        event([[2, "click"]], [1], [3]),
    ]
    drafts = learn(config([PROMPT, BUTTON, IMAGE, source, *buttons], events))

    assert '"Generate"' in drafts[0].summary
    assert '"Redraw", "Upscale"' in drafts[0].doubts[-1]
    # A source picture is an input; whether the app needs one is found out by a trial.
    assert [draft.recipe["inputs"] for draft in drafts[1:3]] == [
        {"source": {"label": "Source", "type": "image"}},
        {"source": {"label": "Source", "type": "image", "required": True}},
    ]


def test_a_source_that_cannot_be_uploaded_stays_empty() -> None:
    """Pictures that a person draws or takes with a camera are no inputs; a doubt names them."""
    sources = [
        component(4, "imageeditor", label="Mask"),
        component(5, "image", label="Camera", sources=["webcam"]),
        component(6, "image", label="Old camera", source="webcam"),
    ]
    drafts = learn(config([PROMPT, BUTTON, IMAGE, *sources], [event([[2, "click"]], [1, 4, 5, 6], [3])]))

    assert [draft.recipe["inputs"] for draft in drafts] == [{}]
    assert any("Mask" in doubt and "Camera" in doubt and "stays empty" in doubt for doubt in drafts[0].doubts)


@pytest.mark.parametrize(
    ("types", "keys"),
    [
        ({"generator": True}, ["steps", "waiting_steps"]),
        ({"generator": False}, ["waiting_steps"]),
        (None, ["steps", "waiting_steps"]),
    ],
)
def test_a_stop_button_becomes_the_cancel_section(types: Any, keys: list[str]) -> None:
    """Gradio cannot end a function that is no generator, only keep it from beginning."""
    stop = component(7, "button", value="Stop")
    events = [
        event([[2, "click"]], [1], [3], id=0, types=types),
        event([[7, "click"]], [], [], id=1, cancels=[0], backend_fn=False),
    ]
    (draft,) = learn(config([PROMPT, BUTTON, IMAGE, stop], events))

    assert list(draft.recipe["cancel"]) == keys
    [click] = draft.recipe["cancel"]["waiting_steps"]
    assert click["selectors"][0] == 'aria/Stop[role="button"]'


def test_an_event_that_hides_its_progress_is_doubtful() -> None:
    """The doubts say how the end is recognized. Without any sign of work, a preview would count as the result."""
    (draft,) = learn(config([PROMPT, BUTTON, IMAGE], [event([[2, "click"]], [1], [3], show_progress="hidden")]))

    assert draft.recipe["observe"]["busy"]
    assert any("does not show that it works" in doubt for doubt in draft.doubts)


def test_the_first_page_of_several_counts() -> None:
    """Events and components of the other pages are not on the page that is opened."""
    components = [PROMPT, BUTTON, IMAGE, component(11, "textbox", label="Other"), component(12, "button", value="Run")]
    components.append(component(13, "image", label="Other result"))
    events = [event([[12, "click"]], [11], [13], id=0), event([[2, "click"]], [1], [3], id=1)]
    pages = {
        "": {"layout": tree(1, 2, 3), "dependencies": [1]},
        "second": {"layout": tree(11, 12, 13), "dependencies": [0]},
    }
    drafts = learn(config(components, events, page=pages))

    assert len(drafts) == 1
    assert '"Generate"' in drafts[0].summary


@pytest.mark.parametrize(
    ("components", "reason"),
    [
        ([PROMPT, BUTTON, component(3, "html")], "no image and no gallery.*html"),
        ([BUTTON, IMAGE], "no text field"),
        ([PROMPT, BUTTON, IMAGE], "No event of the app"),
    ],
)
def test_a_layout_without_candidates_says_why(components: list[dict[str, Any]], reason: str) -> None:
    """Each reason names what is missing."""
    with pytest.raises(DraftError, match=reason):
        learn(config(components, []))


@pytest.mark.parametrize(
    "broken",
    [
        {"components": "none"},
        {"layout": None},
        {"layout": {"children": [None, 1, {"id": "a"}]}},
        {"dependencies": [{"targets": [["a", 1, 2], None, 7], "inputs": "x", "outputs": [None, [3], {}]}, None]},
        {"page": {"": "nothing"}},
        {"version": None},
    ],
)
def test_parts_of_an_unexpected_type_are_skipped(broken: dict[str, Any]) -> None:
    """A strange configuration gives a layout with less in it, and no exception."""
    layout = read_layout({**config([PROMPT, BUTTON, IMAGE], [event([[2, "click"]], [1], [3])]), **broken})

    assert set(layout.components) <= {1, 2, 3}


def test_a_layout_without_end_is_read_to_a_limit() -> None:
    """Thousands of containers inside each other are no crash."""
    layout: dict[str, Any] = {"id": 1}
    for number in range(5000):
        layout = {"id": 100 + number, "children": [layout]}

    assert read_layout(config([PROMPT], [], layout=layout)).components == {}


def test_control_characters_of_a_label_do_not_reach_the_file() -> None:
    """A terminal would obey them, and TOML forbids them in comments."""
    label = "\x1b[31mPrompt\x07\nnew line"
    parts = [component(1, "textbox", label=label), component(5, "textbox", label=label), BUTTON, IMAGE]
    (draft,) = learn(config(parts, [event([[2, "click"]], [1, 5], [3])]))

    text = render_file(draft, tested=True)

    assert "[31mPrompt" in text
    assert not [letter for letter in text if not letter.isprintable() and letter != "\n"]
    assert load_recipe("learned", tomllib.loads(text)).tested


@pytest.mark.parametrize("label", ["it's", 'say "hi"', 'it\'s "both"', "a\nb", "a]b", "Größe", "提示词"])
def test_any_label_gives_a_valid_recipe(label: str) -> None:
    """Quotes, brackets and line ends are part of some labels."""
    parts = [
        component(1, "textbox", label=label),
        component(2, "button", value=label),
        component(3, "image", label=label),
    ]

    assert learn(config(parts, [event([[2, "click"]], [1], [3])], version="4.40.0"))
