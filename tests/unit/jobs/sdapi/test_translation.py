"""Requests of AUTOMATIC1111's clients become jobs of whichever site."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.errors import Invalid
from schemas.images.input_images import ImageSource
from schemas.jobs.sdapi.requests import SdapiImageToImage, load_body
from schemas.jobs.sdapi.translation import Translation, picture_url, translate_generation
from schemas.sites.recipe import InputSpec, Recipe
from stores.sites.recipes import Recipes

RECIPES = Recipes("studio")
PIXEL = "iVBORw0KGgo="
# What the package webuiapi sends with every request, besides fields that no site has an input for.
DEFAULTS = {"seed": -1, "sampler_name": "Euler a", "sampler_index": "Euler a", "scheduler": "automatic", "steps": 20}


def translate(site: str | Recipe, choices: dict[str, list[str]] | None = None, **body: Any) -> Translation:
    """Translate a request."""
    recipe = RECIPES.get(site) if isinstance(site, str) else site
    raw = {"prompt": "a harbour", **body}
    loaded = load_body(SdapiImageToImage(), raw)
    options = loaded.get("override_settings", {})
    return translate_generation(recipe, loaded, raw=raw, options=options, model=None, choices=choices or {})


def test_fields_set_the_inputs_of_the_site() -> None:
    """Fields that a site has no input for are left out; those that clients send without asking are not even named."""
    body = DEFAULTS | {"cfg_scale": 7.0, "width": 640, "height": 512, "negative_prompt": "fog", "eta": 1, "styles": []}

    studio = translate("studio", **body)
    web_ui = translate("automatic1111", {"sampler": ["Euler", "Euler a"]}, **body)

    assert studio.inputs == {"steps": 20, "width": 640, "height": 512, "negative_prompt": "fog"}
    assert studio.ignored == ()
    assert web_ui.inputs["cfg_scale"] == 7.0
    assert web_ui.inputs["sampler"] == "Euler a"


@pytest.mark.parametrize(
    ("sent", "offered", "expected"),
    [
        ("euler A", ["Euler", "Euler a"], "Euler a"),
        ("DPM++ 2M", ["dpmpp_2m", "euler"], "dpmpp_2m"),
        ("DPM++ SDE Karras", ["DPM++ SDE", "DPM++ SDE Karras"], "DPM++ SDE Karras"),
        ("DPM++ SDE Karras", ["DPM++ SDE"], "DPM++ SDE"),
        ("LMS", ["Euler"], None),
        ("Euler a", [], None),
        ("Automatic", ["Euler"], None),
    ],
)
def test_samplers_are_spelled_as_the_site_does(sent: str, offered: list[str], expected: str | None) -> None:
    """One that the page does not offer, as far as that is known, is left to the page."""
    result = translate("automatic1111", {"sampler": offered} if offered else {}, sampler_name=sent)

    assert result.inputs.get("sampler") == expected
    assert result.ignored == (() if expected or sent == "Automatic" else ("sampler_name",))


def test_a_program_with_its_own_names_gets_those() -> None:
    """ComfyUI's sampler is a text without choices."""
    assert translate("comfyui", sampler_name="Euler a").inputs["sampler"] == "euler_ancestral"


def test_values_that_a_site_does_not_accept_are_errors() -> None:
    """A picture with another size or number of steps would be wrong; the message names the client's own field."""
    with pytest.raises(Invalid) as caught:
        translate("automatic1111", width=513, cfg_scale=99.0)

    assert sorted(problem.partition(":")[0] for problem in caught.value.problems) == ["cfg_scale", "width"]


def test_features_without_an_input_are_named() -> None:
    """A picture without them is still a picture."""
    assert translate("studio", enable_hr=True, styles=["noir"], cfg_scale=9).ignored == (
        "cfg_scale",
        "enable_hr",
        "styles",
    )


def test_options_set_inputs_where_there_are_some() -> None:
    """The layers of CLIP and the VAE are options in this API."""
    recipe = RECIPES.get("studio")
    extended = replace(
        recipe,
        inputs={
            **recipe.inputs,
            "clip_skip": InputSpec("integer"),
            "vae": InputSpec("string"),
            "tiling": InputSpec("boolean"),
        },
    )
    options = {"CLIP_stop_at_last_layers": 2, "sd_vae": "best.vae"}

    assert translate(extended, override_settings=options, tiling=True).inputs == {
        "clip_skip": 2,
        "vae": "best.vae",
        "tiling": True,
    }
    assert translate("studio", override_settings=options).ignored == ("sd_vae", "CLIP_stop_at_last_layers")


def test_a_lora_goes_to_the_input_of_the_site() -> None:
    """The tag leaves the prompt; the page of the Web UI has an input for the weight too."""
    studio = translate("studio", prompt="a harbour, <lora:Oil Impasto:0.8>, night")
    web_ui = translate("automatic1111", prompt="<lora:oil:0.5> a harbour")

    assert (studio.prompt, studio.lora) == ("a harbour, , night", "Oil Impasto")
    assert (web_ui.prompt, web_ui.lora, web_ui.inputs["lora_weight"]) == ("a harbour", "oil", 0.5)


@pytest.mark.parametrize("prompt", ["a <lora:x:1> <lora:y:0.5>", "a <lora:x:te=0.5:unet=1>", "a <lora:x:7>"])
def test_loras_are_passed_on_to_pages_that_read_them(prompt: str) -> None:
    """Several, or weights that the input does not take, stay in the prompt."""
    result = translate("automatic1111", prompt=prompt)

    assert (result.prompt, result.lora) == (prompt, None)


def test_several_loras_are_refused_by_sites_that_take_one() -> None:
    """The message names them."""
    with pytest.raises(Invalid, match="valid") as caught:
        translate("studio", prompt="a <lora:x:1> <lora:y:1>")

    assert "x, y" in caught.value.problems[0]


def test_pictures_go_to_sites_that_take_them() -> None:
    """Raw base64, with line breaks too, and data: URLs are the same."""
    body = {"init_images": [f"{PIXEL[:4]}\n{PIXEL[4:]}"], "mask": f"data:image/png;base64,{PIXEL}"}

    result = translate("automatic1111_img2img", denoising_strength=0.4, **body)

    assert isinstance(result.inputs["init"], ImageSource)
    assert result.inputs["init"].sha256 == result.inputs["mask"].sha256
    assert result.inputs["denoising_strength"] == 0.4
    assert result.pictures == (f"data:image/png;base64,{PIXEL}",)


@pytest.mark.parametrize(
    ("site", "body", "field"),
    [
        ("studio", {"init_images": [PIXEL]}, "init_images"),
        ("gradio", {"init_images": [PIXEL], "mask": PIXEL}, "mask"),
        ("automatic1111_img2img", {"init_images": [PIXEL], "mask": PIXEL, "inpainting_mask_invert": 1}, "inpainting"),
        ("gradio", {"init_images": ["https://example.com/a.png"]}, "init_images"),
        ("gradio", {"init_images": ["not base64!"]}, "init_images"),
        ("gradio", {"init_images": ["data:text/html;base64,AAAA"]}, "init_images"),
    ],
)
def test_pictures_that_cannot_be_used_are_refused(site: str, body: dict[str, Any], field: str) -> None:
    """A picture made without them would be wrong."""
    with pytest.raises(Invalid) as caught:
        translate(site, **body)

    assert caught.value.problems[0].startswith(field)


def test_urls_are_not_taken_for_base64() -> None:
    """They are refused where pictures are read, with the words of every API."""
    assert picture_url("http://127.0.0.1/x.png") == "http://127.0.0.1/x.png"
