"""Paths into the JSON documents of recipes, in particular workflows as ComfyUI exports them."""

import json
import tomllib
from typing import Any

import pytest

from ops.infra.settings import SHIPPED_RECIPES
from schemas.errors import Invalid
from schemas.sites.documents import EXPORT_HINT, PathError, find_problems, resolve_path
from schemas.sites.recipe_schema import load_recipe

TEXT = {"text": "", "clip": ["4", 1]}
SAMPLER = {"seed": 0, "steps": 20, "model": ["4", 0]}


def node(class_type: str, inputs: dict[str, Any], title: str | None = None) -> dict[str, Any]:
    """Return a node in ComfyUI's API format; older exports have no titles."""
    return {"class_type": class_type, "inputs": inputs} | ({"_meta": {"title": title}} if title else {})


# As ComfyUI exports its own example: two nodes have one title.
WORKFLOW = {
    "3": node("KSampler", SAMPLER, "KSampler"),
    "6": node("CLIPTextEncode", TEXT, "CLIP Text Encode (Prompt)"),
    "7": node("CLIPTextEncode", TEXT, "CLIP Text Encode (Prompt)"),
    "57:8": node("SaveImage", {"images": ["8", 0]}, "Save v1.5 image"),
}
UNTITLED = {key: {name: value[name] for name in ("class_type", "inputs")} for key, value in WORKFLOW.items()}
PAGE_FORMAT = {"last_node_id": 9, "nodes": [{"id": 3, "type": "KSampler", "widgets_values": [0]}], "links": [[1, 4, 0]]}


@pytest.mark.parametrize(
    ("content", "path", "keys"),
    [
        (WORKFLOW, "3.inputs.seed", ["3", "inputs", "seed"]),
        (WORKFLOW, "KSampler.inputs.seed", ["3", "inputs", "seed"]),
        (WORKFLOW, "7.inputs.text", ["7", "inputs", "text"]),
        (WORKFLOW, "57:8.inputs.images.0", ["57:8", "inputs", "images", 0]),
        (WORKFLOW, "Save v1.5 image.inputs.images", ["57:8", "inputs", "images"]),
        (WORKFLOW, "SaveImage.inputs.images", ["57:8", "inputs", "images"]),
        (UNTITLED, "KSampler.inputs.seed", ["3", "inputs", "seed"]),
        ({"3": node("A", {"x": 1}, "7"), "7": node("B", {"x": 2})}, "7.inputs.x", ["7", "inputs", "x"]),
        ({"1": node("A", {"x": 1}, "B"), "2": node("B", {"x": 2})}, "B.inputs.x", ["1", "inputs", "x"]),
        (PAGE_FORMAT, "nodes.0.widgets_values.0", ["nodes", 0, "widgets_values", 0]),
    ],
)
def test_a_node_is_found_by_id_title_or_class(content: Any, path: str, keys: list[str | int]) -> None:
    """An id comes before a title, and a title before a class; titles may contain dots."""
    assert resolve_path(content, path) == keys


@pytest.mark.parametrize(
    ("content", "path", "fragments"),
    [
        (WORKFLOW, "CLIP Text Encode (Prompt).inputs.text", ["nodes 6, 7 have the title", "'6.inputs.text'"]),
        (UNTITLED, "CLIPTextEncode.inputs.text", ["nodes 6, 7 have the class", "use an id"]),
        (WORKFLOW, "Sampler.inputs.seed", ["'Sampler.inputs.seed' does not exist", "called 'Sampler'"]),
        (WORKFLOW, "3.inputs.sede", ["3 'KSampler' (KSampler): seed, steps, model has no 'inputs.sede'"]),
        (WORKFLOW, "3.inputs.seed.deeper", ["has no 'inputs.seed.deeper'"]),
        (WORKFLOW, "57:8.inputs.images.9", ["has no 'inputs.images.9'"]),
        ({"a": [1]}, "a.b", ["'a' has no 'b'"]),
    ],
)
def test_a_path_that_leads_to_no_single_place_is_an_error(content: Any, path: str, fragments: list[str]) -> None:
    """The message says why, with the ids or the inputs that there are."""
    with pytest.raises(PathError) as caught:
        resolve_path(content, path)

    assert not [fragment for fragment in fragments if fragment not in str(caught.value)]


def test_all_wrong_paths_are_named_at_once_with_the_nodes() -> None:
    """The last sentence lists each node with id, title, class and inputs."""
    *wrong, nodes = find_problems(WORKFLOW, ["Sampler.inputs.seed", "3.inputs.seed", "8.inputs.x"])

    assert [problem.partition(" ")[0] for problem in wrong] == ["'Sampler.inputs.seed'", "'8.inputs.x'"]
    assert nodes == (
        "The document's nodes: 3 'KSampler' (KSampler): seed, steps, model; "
        "6 'CLIP Text Encode (Prompt)' (CLIPTextEncode): text, clip; "
        "7 'CLIP Text Encode (Prompt)' (CLIPTextEncode): text, clip; 57:8 'Save v1.5 image' (SaveImage): images."
    )


@pytest.mark.parametrize(
    ("content", "last"),
    [
        (PAGE_FORMAT, EXPORT_HINT),
        ({"version": 1, "nodes": [], "links": []}, EXPORT_HINT),
        ({"prompt": WORKFLOW}, "The nodes are below 'prompt': keep only this part, or begin each path with 'prompt.'."),
        ({"a": 1}, "The document has no nodes; its keys: 'a'."),
        ([], "The document has no nodes; its keys: none."),
        (UNTITLED, "The document's nodes: 3 (KSampler): seed, steps, model; 6 (CLIPTextEncode): text, clip; "),
    ],
)
def test_a_document_of_another_form_is_recognized(content: Any, last: str) -> None:
    """A workflow as ComfyUI's page saves it needs another export."""
    assert find_problems(content, ["Sampler.inputs.seed"])[-1].startswith(last)


def test_a_recipe_with_wrong_paths_is_refused_with_all_of_them() -> None:
    """Each problem names the place in the recipe's file."""
    raw = tomllib.loads((SHIPPED_RECIPES / "comfyui.toml").read_text())
    fields = {"CLIP Text Encode (Prompt).inputs.text": "{{prompt}}", "Nothing.inputs.seed": "{{seed}}"}
    raw["documents"]["workflow"] = {"content": json.dumps(WORKFLOW), "fields": fields}
    with pytest.raises(Invalid) as caught:
        load_recipe("mine", raw)

    ambiguous, missing, nodes = caught.value.problems
    assert ambiguous.startswith("mine.toml: documents.workflow.fields: 'CLIP Text Encode (Prompt).inputs.text' is ambi")
    assert ("Nothing.inputs.seed" in missing, "The document's nodes: 3" in nodes) == (True, True)
