"""Pictures are handed to pages in every way that pages take them, in a real browser."""

import hashlib
from collections.abc import Iterator

import pytest

from schemas.errors import InputNotOffered, SiteChanged
from schemas.images.input_images import InputFile, InputImage
from schemas.jobs.job import JobRequest
from schemas.sites.recipe_schema import load_recipe
from tests.integration.sites.conftest import drive, run_in_browser
from tests.support.image_pages import image_page_recipe, serve_image_page
from tests.support.images import draw_image, encode

PHOTO, MASK = encode(draw_image((96, 64)), "PNG"), encode(draw_image((96, 64), "L"), "WEBP", lossless=True)
FILE_INPUT = {"image": "init", "selectors": ["#init"]}
MASK_INPUT = {"image": "mask", "selectors": ["#mask"]}
CHOOSER = {"image": "init", "selectors": ["aria/Choose a picture"]}
ROUTE = {"image": "init", "url": "{{url}}/upload/image"}
WORKFLOW = {"document": "workflow", "selectors": ["#workflow"]}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve the page of the tests."""
    with serve_image_page() as url:
        yield url


def input_file(data: bytes, media_type: str) -> InputFile:
    """Return a picture as a job has it."""
    image = InputImage(media_type, 96, 64, len(data), hashlib.sha256(data).hexdigest())
    return InputFile.of(image, data)


def shown_pictures(address: str, *uploads: dict[str, object], **pictures: bytes) -> list[bytes]:
    """Run one attempt with these upload steps and pictures; return what the page then shows."""
    recipe = load_recipe("pictures", image_page_recipe(address, *uploads))
    types = {"init": "image/png", "mask": "image/webp"}
    images = {name: input_file(data, types[name]) for name, data in pictures.items()}
    request = JobRequest("pictures", "a harbour", inputs={name: {} for name in pictures})
    result = run_in_browser(lambda context: drive(context, recipe, request, images))
    return [image.data.removesuffix(b"!") for image in result.images]


def test_file_inputs_get_the_pictures(address: str) -> None:
    """A hidden file input and its mask get the exact bytes."""
    assert shown_pictures(address, FILE_INPUT, MASK_INPUT, init=PHOTO, mask=MASK) == [PHOTO, MASK]


def test_a_picture_that_the_job_does_not_have_is_skipped(address: str) -> None:
    """The step of a missing mask does not run."""
    assert shown_pictures(address, FILE_INPUT, MASK_INPUT, init=PHOTO) == [PHOTO]


def test_a_button_that_opens_a_file_chooser_gets_the_picture(address: str) -> None:
    """Pages without a file input in the document are supported."""
    assert shown_pictures(address, CHOOSER, init=PHOTO) == [PHOTO]


def test_an_upload_route_names_the_picture_in_a_document(address: str) -> None:
    """The name in the route's response is the value of the placeholder, as ComfyUI's LoadImage needs it."""
    assert shown_pictures(address, ROUTE, WORKFLOW, init=PHOTO) == [PHOTO]


@pytest.mark.parametrize(
    ("upload", "error", "message"),
    [
        ({"image": "init", "selectors": ["#no-such-field"], "timeout": 300}, InputNotOffered, "no field .* 'init'"),
        ({"image": "init", "url": "{{url}}/no-route"}, SiteChanged, "status 400"),
        ({**ROUTE, "answer": "file.name"}, SiteChanged, "without 'file.name'"),
    ],
)
def test_a_page_that_does_not_take_the_picture_ends_with_a_precise_error(
    address: str, upload: dict[str, object], error: type[Exception], message: str
) -> None:
    """A missing field and a route that answers otherwise have errors of their own."""
    with pytest.raises(error, match=message):
        shown_pictures(address, upload, init=PHOTO)
