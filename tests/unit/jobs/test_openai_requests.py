"""Requests of OpenAI's Images API."""

from typing import Any

import pytest

from schemas.errors import Invalid, NotFound
from schemas.images.input_images import ImageSource
from schemas.jobs.openai_requests import ImagesRequest, load_images_request, split_model
from schemas.sites.recipe_schema import load_recipe
from stores.sites.recipes import Recipes
from tests.support.image_pages import image_page_recipe

PIXEL = "data:image/png;base64,iVBORw0KGgo="
STUDIO = Recipes("studio").default
PICTURES = load_recipe("pictures", image_page_recipe("http://127.0.0.1:9/"))


def load(*, needs_image: bool = False, **fields: Any) -> ImagesRequest:
    """Load a request with a prompt."""
    return load_images_request({"prompt": "a harbour", **fields}, needs_image=needs_image)


def test_a_request_has_the_fields_of_the_packages() -> None:
    """Numbers and truth values may be texts, as in forms; null is the same as nothing."""
    request = load(model="studio", n="2", stream="true", partial_images=3, response_format=None, output_format="webp")

    assert (request.model, request.count, request.stream, request.partial_images) == ("studio", 2, True, 3)
    assert (request.response_format, request.output_format) == ("", "webp")
    assert load(n=None).count == 1


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"prompt": ""}, "prompt: "),
        ({"prompt": None}, "prompt: "),
        ({"prompt": "x" * 4001}, "prompt: "),
        ({"n": 0}, "n: "),
        ({"n": 11}, "n: "),
        ({"n": 1.5}, "n: "),
        ({"model": 7}, "model: "),
        ({"response_format": "png"}, "response_format: "),
        ({"output_format": "gif"}, "output_format: "),
        ({"stream": "maybe"}, "stream: "),
        ({"partial_images": 4}, "partial_images: "),
        ({"images": "x"}, "images: "),
        ({"image": [PIXEL] * 9}, "image: "),
        ({"webhook": "ftp://example.com"}, "webhook: "),
    ],
)
def test_a_malformed_field_is_named(fields: dict[str, Any], problem: str) -> None:
    """The problem begins with the name that the client knows."""
    with pytest.raises(Invalid) as caught:
        load(**fields)

    assert caught.value.problems[0].startswith(problem)


def test_a_size_sets_width_and_height() -> None:
    """On a site without them it is a field that the site does not take."""
    fields = load(size="512x768", user="u", moderation="low", steps=4).sent_fields(STUDIO, "")

    assert [(each.name, each.value, each.input) for each in fields] == [
        ("size", 512, "width"),
        ("size", 768, "height"),
        ("steps", 4, None),
    ]
    assert [tuple(each) for each in load(size="512x768").sent_fields(PICTURES, "")] == [("size", "512x768", "")]


def test_pictures_go_to_the_inputs_for_pictures() -> None:
    """The first begins the picture, in the order of the form; a mask marks by transparency."""
    several = load(**{"image[1]": "second", "image[0]": "first", "mask": PIXEL}).sent_fields(PICTURES, "")
    referenced = load(images=[{"image_url": PIXEL}], mask={"image_url": PIXEL}).sent_fields(PICTURES, "")

    assert [(each.name, each.input) for each in several] == [("image[0]", "init"), ("image[1]", ""), ("mask", "mask")]
    assert [(each.name, each.input) for each in referenced] == [("images[0]", "init"), ("mask", "mask")]
    assert referenced[0].value == PIXEL
    for fields in (several, referenced):
        assert isinstance(fields[-1].value, ImageSource)
        assert fields[-1].value.is_alpha_mask
    assert [each.input for each in load(image=PIXEL).sent_fields(STUDIO, "")] == [""]


def test_an_edit_needs_a_picture() -> None:
    """A mask alone is not enough, and a mask that is no picture is named."""
    with pytest.raises(Invalid) as missing:
        load(needs_image=True, mask=PIXEL)
    with pytest.raises(Invalid) as foreign:
        load(needs_image=True, image=PIXEL, mask="https://example.com/mask.png").sent_fields(PICTURES, "")

    assert missing.value.problems == ["image: Missing data for required field."]
    assert foreign.value.problems[0].startswith("mask: URLs are not fetched")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("", (None, "")),
        ("gradio", ("gradio", "")),
        ("comfyui:dream/shaper:v8.safetensors", ("comfyui", "dream/shaper:v8.safetensors")),
        ("dall-e-3", (None, "")),
        ("gpt-image-1.5", (None, "")),
        ("chatgpt-image-latest", (None, "")),
    ],
)
def test_a_model_is_a_site(model: str, expected: tuple[str | None, str]) -> None:
    """Names of OpenAI's models mean the default site, for clients that cannot send another."""
    assert split_model(model, ["gradio", "studio", "comfyui"]) == expected


@pytest.mark.parametrize("model", ["nowhere", "Studio", "gpt-4o", "nowhere:studio", "dall-e-" + "x" * 99])
def test_an_unknown_model_does_not_exist(model: str) -> None:
    """The message lists the sites."""
    with pytest.raises(NotFound, match="Sites: gradio, studio"):
        split_model(model, ["gradio", "studio"])
