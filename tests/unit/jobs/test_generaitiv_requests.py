"""The generaitiv API: workload ids, and the translation of inputs to a recipe's names."""

import pytest

from schemas.errors import NotFound
from schemas.jobs.generaitiv_requests import parse_workload_id, split_model_slug, translate_inputs, workload_id
from stores.sites.recipes import Recipes

JOB_ID = "0123456789abcdef" * 2
RAW_INPUTS = {
    "prompt": "Example",
    "prompt_strength": 0.8,
    "refine": "no_refiner",
    "scheduler": "K_EULER",
    "disable_safety_checker": True,
    "high_noise_frac": 0.8,
    "lora_scale": 0.6,
    "guidance_scale": 7.5,
    "width": 1024,
    "height": 1024,
    "num_inference_steps": 50,
}


def test_a_workload_id_round_trips() -> None:
    """Prefix and case do not matter."""
    assert workload_id(JOB_ID) == f"0x{JOB_ID}"
    assert {JOB_ID} == {parse_workload_id(text) for text in (f"0x{JOB_ID}", JOB_ID, f"0X{JOB_ID.upper()}")}


@pytest.mark.parametrize("text", ["", "0x", JOB_ID[:-1], f"{JOB_ID}0", f"0x{JOB_ID}\n", "undefined", "0x" + "g" * 32])
def test_a_malformed_workload_id_is_not_found(text: str) -> None:
    """It is answered like an unknown id."""
    with pytest.raises(NotFound):
        parse_workload_id(text)


def test_inputs_are_renamed_to_the_recipes_names() -> None:
    """Unknown inputs are dropped with a warning."""
    translated = translate_inputs(Recipes("automatic1111").default, RAW_INPUTS)

    assert translated.inputs["steps"] == 50
    assert translated.inputs["cfg_scale"] == 7.5
    assert (translated.inputs["width"], translated.inputs["height"]) == (1024, 1024)
    assert translated.inputs["sampler"] == "K_EULER"
    assert {"prompt_strength", "refine", "disable_safety_checker", "high_noise_frac"} == {
        warning.partition(":")[0] for warning in translated.warnings
    }


def test_an_invalid_value_is_dropped() -> None:
    """The job is created without it, with a warning."""
    translated = translate_inputs(Recipes("studio").default, {"width": 9999, "steps": "many", "seed": 7})

    assert translated.inputs == {"seed": 7}
    assert {"steps", "width"} == {warning.partition(":")[0] for warning in translated.warnings}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (None, (None, "")),
        ("gradio", ("gradio", "")),
        ("gradio/dream", ("gradio", "dream")),
        ("stability-ai-sdxl", (None, "")),
    ],
)
def test_a_model_slug_is_split_into_site_and_model(model: str | None, expected: tuple[str | None, str]) -> None:
    """A slug that does not begin with a site names none."""
    assert split_model_slug(model, ["gradio", "studio"]) == expected


def test_the_model_becomes_an_input_of_the_site() -> None:
    """A site without such an input causes a warning."""
    assert translate_inputs(Recipes("automatic1111").default, {}, "dream").inputs == {"checkpoint": "dream"}
    assert translate_inputs(Recipes("studio").default, {}, "dream").warnings
