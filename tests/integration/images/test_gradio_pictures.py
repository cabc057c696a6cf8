"""Pictures and masks reach ``gr.Image`` components of every real generation of Gradio, in a real browser."""

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from schemas.images.input_images import InputFile, InputImage
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import Recipe
from schemas.sites.recipe_schema import load_recipe
from tests.integration.sites.conftest import drive, run_in_browser
from tests.support.images import draw_image, encode
from tests.support.programs.gradio_server import GRADIO_VERSIONS
from tests.support.programs.pictures.gradio_process import run_gradio_module
from tests.support.programs.pictures.painter import FILL

SIZE = (96, 64)
PHOTO = encode(draw_image(SIZE), "PNG")


def half_mask() -> bytes:
    """Return a mask whose right half is white."""
    mask = Image.new("L", SIZE, 0)
    mask.paste(255, (SIZE[0] // 2, 0, *SIZE))
    return encode(mask, "PNG")


@pytest.fixture(scope="module", params=GRADIO_VERSIONS)
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the page on one version of Gradio; yields its address."""
    folder = tmp_path_factory.mktemp("gradio")
    with run_gradio_module(request.param, "tests.support.programs.pictures.painter", folder) as address:
        yield address


def gradio_recipe(url: str) -> Recipe:
    """Return the recipe of the page: a picture is uploaded, and shown before the next step."""

    def upload(name: str, component: str) -> list[dict[str, Any]]:
        shown = [f"#{component} img", f"#{component} canvas"]
        return [
            {
                "type": "customStep",
                "name": "upload",
                "image": name,
                "selectors": [f"#{component} input[type=file]"],
                "timeout": 60000,
            },
            {"type": "waitForElement", "when": name, "selectors": shown, "timeout": 60000},
        ]

    return load_recipe(
        "painter",
        {
            "title": "Painter",
            "description": "Paints over a picture.",
            "url": url,
            "consent": {"ownership": "own"},
            "inputs": {"init": {"type": "image"}, "mask": {"type": "image", "same_size_as": "init"}},
            "steps": [
                {"type": "navigate", "url": "{{url}}", "timeout": 60000},
                {"type": "change", "selectors": ["aria/Prompt"], "value": "{{prompt}}", "timeout": 60000},
                *upload("init", "picture"),
                *upload("mask", "mask"),
                {"type": "click", "selectors": ["aria/Paint"], "submits": True},
            ],
            "observe": {
                "busy": {
                    "selectors": [
                        "[data-testid='status-tracker']:not(.hide)",
                        ".wrap.default:not(.hide)",
                        ".wrap.center:not(.hide)",
                    ]
                },
                "done": {"selectors": ["#result img"], "settle_ms": 150},
            },
        },
    )


def paint(page: str, **pictures: bytes) -> Image.Image:
    """Run one attempt with these pictures; return the result."""
    images = {
        name: InputFile.of(InputImage("image/png", *SIZE, len(data), hashlib.sha256(data).hexdigest()), data)
        for name, data in pictures.items()
    }
    request = JobRequest("painter", "a wall", inputs={name: {} for name in pictures})
    result = run_in_browser(lambda context: drive(context, gradio_recipe(page), request, images))
    return Image.open(io.BytesIO(result.images[0].data)).convert("RGB")


def is_close(pixel: object, color: tuple[int, int, int]) -> bool:
    """Whether a pixel has a color; Gradio may compress its pictures."""
    assert isinstance(pixel, tuple)
    return all(abs(value - other) < 30 for value, other in zip(pixel, color, strict=True))


def test_a_picture_and_its_mask_reach_the_program(page: str) -> None:
    """The program paints where the mask is white, on the picture of the job."""
    painted, original = paint(page, init=PHOTO, mask=half_mask()), draw_image(SIZE)

    assert painted.size == SIZE
    for place in ((8, 8), (40, 56)):
        expected = original.getpixel(place)
        assert isinstance(expected, tuple)
        assert is_close(painted.getpixel(place), (expected[0], expected[1], expected[2]))
    assert is_close(painted.getpixel((80, 32)), FILL)


def test_a_job_without_pictures_sends_none(page: str) -> None:
    """The pictures of an earlier job are not left in the page."""
    assert paint(page).size == (8, 8)
