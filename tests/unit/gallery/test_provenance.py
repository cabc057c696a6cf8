"""Provenance records: what they keep of a job, what others see of it, and the request that repeats the job."""

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.gallery.documents.archive import dump, exported_record, parse_record
from schemas.gallery.provenance import (
    MadeImage,
    build_provenance,
    hide_private,
    input_pictures,
    list_facts,
    list_used_models,
    model_stem,
    repeat_request,
)
from schemas.jobs.job import Job, JobRequest
from schemas.jobs.lifecycle import JobState
from stores.sites.recipes import Recipes

PICTURE = {"type": "image/png", "width": 640, "height": 480, "sizeBytes": 9, "sha256": "a" * 64}
REQUEST = JobRequest(
    "automatic1111",
    "a lighthouse <lora:ink wash:0.6> at dusk",
    lora="styles/Ukiyo-e",
    inputs={"seed": 7, "checkpoint": "sd/dream.safetensors [0123456789]", "steps": 20, "image": PICTURE},
    priority=3,
    webhook="https://example.invalid/secret",
)
IMAGE = MadeImage(1, "b" * 64, "image/png", 512, 512, 99)
GENERATION = {
    "tool": "AUTOMATIC1111",
    "seed": 8,
    "resources": [
        {"type": "checkpoint", "name": "dream", "hash": "0123456789"},
        {"type": "lora", "name": "Ink Wash", "hash": "feedbeef00", "weight": 0.5},
        {"type": "vae", "name": "kl.pt"},
        {"type": "other"},
    ],
}


def completed(request: JobRequest = REQUEST) -> Job:
    """A job that has its picture."""
    times = {"start_time": 1000, "last_modified": 3000, "finished_at": 3000}
    return Job("c" * 32, "ada", JobState.COMPLETED, request, "r1", seq=4, **times)


def record_of(request: JobRequest = REQUEST, generation: dict[str, Any] | None = None) -> dict[str, Any]:
    """The record of such a job."""
    recipe = Recipes("studio").get(request.site)
    models = list_used_models(request, recipe, generation)
    return build_provenance(completed(request), recipe, IMAGE, models=models, generation=generation)


def test_each_model_is_listed_once() -> None:
    """Inputs, tags of the prompt and the picture name the same models; hashes and weights come together."""
    models = list_used_models(REQUEST, Recipes("studio").get("automatic1111"), GENERATION)

    assert [(model.kind, model.name, model.weight, dict(model.hashes)) for model in models] == [
        ("checkpoint", "sd/dream.safetensors [0123456789]", None, {"hash": "0123456789"}),
        ("lora", "styles/Ukiyo-e", None, {}),
        ("lora", "ink wash", 0.6, {"hash": "feedbeef00"}),
        ("vae", "kl.pt", None, {}),
    ]
    studio = replace(REQUEST, site="studio", lora=None, inputs={})
    assert list_used_models(studio, Recipes("studio").get("studio"), None) == []


@pytest.mark.parametrize(
    ("name", "stem"), [("a\\b/Dream.V1.safetensors", "Dream.V1"), ("dream [0123456789]", "dream"), ("dream", "dream")]
)
def test_names_of_models_lose_folder_extension_and_hash(name: str, stem: str) -> None:
    """Programs write one model in several ways."""
    assert model_stem(name) == stem


def test_a_record_has_everything_that_the_job_was_given() -> None:
    """The record repeats the job: same prompt and inputs, pictures from where they are now, no webhook."""
    record = record_of(generation=GENERATION)

    assert record["site"]["recipe"] == Recipes("studio").get("automatic1111").version
    assert (record["seed"], record["jobId"], record["finishedAt"]) == (7, "c" * 32, 3000)
    assert record["image"]["sha256"] == IMAGE.sha256
    assert list(input_pictures(record)) == ["image"]
    repeated = repeat_request(record, {"image": "the picture"}, "Ukiyo-e-2")
    assert repeated.inputs == {**REQUEST.inputs, "image": "the picture"}
    assert (repeated.prompt, repeated.lora, repeated.webhook) == (REQUEST.prompt, "Ukiyo-e-2", "")
    assert record_of(replace(REQUEST, inputs={}), GENERATION)["seed"] == 8


def test_a_private_prompt_is_for_its_owner_only() -> None:
    """Others see site, models and picture, and neither prompt nor inputs nor what the picture itself names."""
    record = record_of(generation=GENERATION)

    assert hide_private(record, is_owner=True, is_prompt_private=True)["prompt"] == REQUEST.prompt
    hidden = hide_private(record, is_owner=False, is_prompt_private=True)
    assert "lighthouse" not in str(hidden)
    assert [hidden[name] for name in ("prompt", "inputs", "seed", "generation")] == [None] * 4
    assert hidden["isPromptPrivate"]
    assert list_facts(hidden)[0] == ("Site", f"{record['site']['title']} (automatic1111)")


def test_the_id_of_a_job_is_for_its_owner_only() -> None:
    """It leads to all pictures of the job without a key; others get it neither from a record nor in an export."""
    record = record_of()

    assert hide_private(record, is_owner=True, is_prompt_private=False)["jobId"] == "c" * 32
    hidden = hide_private(record, is_owner=False, is_prompt_private=False)
    assert (hidden["jobId"], hidden["prompt"]) == (None, REQUEST.prompt)
    exported = exported_record(record, as_owner=False)
    assert parse_record(dump(exported))["jobId"] is None
    assert parse_record(dump(exported_record(record, as_owner=True)))["jobId"] == "c" * 32


def test_facts_name_each_thing_once() -> None:
    """Pages show models, seed and inputs in words."""
    facts = list_facts(record_of())

    assert ("Checkpoint", "sd/dream.safetensors [0123456789]") in facts
    assert ("LoRA", "ink wash, weight 0.6") in facts
    assert ("Seed", "7") in facts
    assert ("Image", "a picture of 640 x 480 pixels") in facts
    assert [label for label, _ in facts].count("Seed") == 1


def test_the_version_of_a_recipe_depends_on_its_effect_only() -> None:
    """Another URL or title is the same version, another step is not."""
    recipe = Recipes("studio").get("automatic1111")

    assert replace(recipe, url="http://elsewhere:7860/", title="Mine").version == recipe.version
    assert replace(recipe, steps=recipe.steps[:-1]).version != recipe.version


def test_what_a_picture_claims_is_bounded() -> None:
    """Hundreds of models, endless names and huge workflows do not make a huge record."""
    resources = [
        {"type": "lora", "name": f"\x00{number}" + "x" * 9000, "weight": float("nan")} for number in range(900)
    ]
    generation = {"tool": "ComfyUI", "seed": 8, "resources": resources, "comfyWorkflow": {"a": "b" * 10_000_000}}

    record = record_of(replace(REQUEST, inputs={}), generation)

    assert len(record["models"]) == 50
    assert len(json.dumps(record, allow_nan=False)) < 100_000
    assert record["generation"] == {"tool": "ComfyUI", "seed": 8}
