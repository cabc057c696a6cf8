"""The recipe for the img2img tab of AUTOMATIC1111 and Forge: from a picture, and inpainting with a mask."""

import hashlib
import io
from collections.abc import Iterator

import pytest
from PIL import Image

from schemas.images.input_images import InputFile, InputImage
from schemas.jobs.job import JobRequest
from tests.integration.images.test_gradio_pictures import PHOTO, SIZE, half_mask, is_close
from tests.integration.sites.conftest import drive, run_in_browser, shipped_recipe
from tests.support.images import draw_image
from tests.support.programs.pictures.gradio_process import run_gradio_module
from tests.support.programs.pictures.web_ui import FILL

# The programs and the version of Gradio that each of them uses.
PROGRAMS = {"automatic1111": "3.41.2", "forge": "4.40.0"}
LEFT, RIGHT = (8, 8), (80, 32)


@pytest.fixture(scope="module", params=PROGRAMS)
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the page of one program; yields its address."""
    version, folder = PROGRAMS[request.param], tmp_path_factory.mktemp("web-ui")
    with run_gradio_module(version, "tests.support.programs.pictures.web_ui", folder, request.param) as address:
        yield address


def paint(page: str, **pictures: bytes) -> Image.Image:
    """Run one attempt with these pictures; return the result."""
    images = {
        name: InputFile.of(InputImage("image/png", *SIZE, len(data), hashlib.sha256(data).hexdigest()), data)
        for name, data in pictures.items()
    }
    recipe = shipped_recipe("automatic1111_img2img", page)
    request = JobRequest(recipe.name, "a wall", inputs={**{name: {} for name in pictures}, "denoising_strength": 0.8})
    [image] = run_in_browser(lambda context: drive(context, recipe, request, images)).images
    return Image.open(io.BytesIO(image.data)).convert("RGB")


def test_the_picture_is_the_beginning(page: str) -> None:
    """Without a mask, the program gets the picture in its first tab and paints over its left half."""
    painted, original = paint(page, init=PHOTO), draw_image(SIZE)

    assert painted.size == SIZE
    assert is_close(painted.getpixel(LEFT), FILL)
    assert is_close(painted.getpixel(RIGHT), original.getpixel(RIGHT))  # type: ignore[arg-type] # an RGB pixel


def test_the_mask_decides_where_is_painted(page: str) -> None:
    """With a mask, both go to the tab for uploaded masks, and only the white half is painted."""
    painted, original = paint(page, init=PHOTO, mask=half_mask()), draw_image(SIZE)

    assert is_close(painted.getpixel(LEFT), original.getpixel(LEFT))  # type: ignore[arg-type] # an RGB pixel
    assert is_close(painted.getpixel(RIGHT), FILL)
