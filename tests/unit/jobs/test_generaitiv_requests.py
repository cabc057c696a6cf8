"""The words of the generaitiv API: ids, and what of a generation a recipe understands."""

import pytest

from schemas.errors import NotFound
from schemas.jobs.generaitiv_requests import parse_workload_id, split_model_slug, translate_inputs, workload_id
from stores.sites.recipes import Recipes

JOB = "0123456789abcdef" * 2
EXAMPLE = {
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


def test_a_workload_is_a_job_by_another_name() -> None:
    """There and back, in either case."""
    assert workload_id(JOB) == f"0x{JOB}"
    assert {JOB} == {parse_workload_id(text) for text in (f"0x{JOB}", JOB, f"0X{JOB.upper()}")}


@pytest.mark.parametrize("text", ["", "0x", JOB[:-1], f"{JOB}0", f"0x{JOB}\n", "undefined", "0x" + "g" * 32])
def test_what_is_no_id_is_no_workload(text: str) -> None:
    """As any other path that nobody knows."""
    with pytest.raises(NotFound):
        parse_workload_id(text)


def test_inputs_go_by_the_recipes_names() -> None:
    """What fits is passed on, what does not is said."""
    understood = translate_inputs(Recipes("automatic1111").default, EXAMPLE)

    assert understood.inputs["steps"] == 50
    assert understood.inputs["cfg_scale"] == 7.5
    assert (understood.inputs["width"], understood.inputs["height"]) == (1024, 1024)
    assert understood.inputs["sampler"] == "K_EULER"
    assert {"prompt_strength", "refine", "disable_safety_checker", "high_noise_frac"} == {
        warning.partition(":")[0] for warning in understood.warnings
    }


def test_a_value_that_does_not_fit_is_left_out() -> None:
    """The job is made without it."""
    understood = translate_inputs(Recipes("studio").default, {"width": 9999, "steps": "many", "seed": 7})

    assert understood.inputs == {"seed": 7}
    assert {"steps", "width"} == {warning.partition(":")[0] for warning in understood.warnings}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (None, (None, "")),
        ("gradio", ("gradio", "")),
        ("gradio/dream", ("gradio", "dream")),
        ("stability-ai-sdxl", (None, "")),
    ],
)
def test_a_models_slug_names_a_site_and_its_model(model: str | None, expected: tuple[str | None, str]) -> None:
    """Or a model of elsewhere, which is here no other than the default."""
    assert split_model_slug(model, ["gradio", "studio"]) == expected


def test_the_model_is_the_sites_input() -> None:
    """Where it has one."""
    assert translate_inputs(Recipes("automatic1111").default, {}, "dream").inputs == {"checkpoint": "dream"}
    assert translate_inputs(Recipes("studio").default, {}, "dream").warnings
