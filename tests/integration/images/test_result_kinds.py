"""Results of every kind that pages make are delivered byte for byte, with a poster where they are not decoded."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from PIL import Image
from playwright.async_api import BrowserContext

from schemas.errors import ResultRefused
from schemas.images import formats
from schemas.images.structure import read_structure
from schemas.jobs.job import GeneratedImage, JobRequest
from tests.integration.sites.conftest import run_in_browser
from tests.support.images import SVG, VALID_IMAGES, build_png, draw_image, encode
from tests.support.result_page import result_page_recipe, serve_result_page
from workers.images import convert
from workers.sites.driver.driver import Driver

NAMES = {
    "png",
    "jpeg",
    "webp",
    "gif",
    "avif",
    "moving gif",
    "moving webp",
    "moving avif",
    "gif without end mark",
    "jpeg without end mark",
}
# By their file names, which have the usual extensions.
PICTURES = {
    f"{name.replace(' ', '-')}.{value[1].removeprefix('image/')}": value
    for name, value in VALID_IMAGES.items()
    if name in NAMES
}
# One colour, so that the file is small; larger than every picture that is decoded.
HUGE = build_png(8192, 8192, (b"\0" + b"\x80" * 8192) * 8192)
RESULTS: dict[str, tuple[str, bytes]] = {
    **{name: (media_type, data) for name, (data, media_type) in PICTURES.items()},
    "huge.png": ("image/png", HUGE),
    "heavy.png": ("image/png", encode(draw_image(), "PNG") + bytes(convert.MAX_IMAGE_BYTES)),
    "drawing.svg": ("image/svg+xml", SVG.replace(b"<script>alert(1)</script>", b"<rect width='9' height='9'/>")),
    "cut.mp4": ("video/mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp42\0\0\1\0moov"),
}


@dataclass(frozen=True)
class Delivery:
    """The result of one attempt, and its poster."""

    image: GeneratedImage
    poster: bytes | None


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve the page with all results."""
    with serve_result_page(RESULTS) as url:
        yield url


def deliver(address: str, prompt: str) -> Delivery:
    """Run one attempt in a new browser."""

    async def attempt(context: BrowserContext) -> Delivery:
        driver = Driver(context, result_page_recipe(address))
        await driver.open(JobRequest("results", prompt))
        await driver.submit()
        async for _ in driver.watch():
            pass
        [image] = await driver.collect_images()
        is_convertible = convert.is_convertible(image.media_type, image.width, image.height)
        return Delivery(image, None if is_convertible else await driver.draw_poster(image))

    return run_in_browser(attempt)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_delivered_byte_for_byte(address: str, name: str) -> None:
    """This includes animations and files that lack only their end mark."""
    data, media_type = PICTURES[name]
    image = deliver(address, f"img {name}").image

    assert (image.media_type, image.lossy, image.data) == (media_type, False, data)


@pytest.mark.parametrize("media_type", ["video/webm", "video/mp4", "video/mp4;codecs=avc1.42E01E"])
def test_videos_have_a_poster(address: str, media_type: str) -> None:
    """The page records them; the poster is their first frame."""
    delivery = deliver(address, f"record {media_type}")
    image = delivery.image

    assert (image.media_type, image.width, image.height) == (media_type.partition(";")[0], 160, 96)
    assert read_structure(image.data, formats.DELIVERED).end == len(image.data)
    assert delivery.poster is not None
    with Image.open(io.BytesIO(delivery.poster)) as poster:
        pixel = poster.convert("RGB").getpixel((80, 48))
        assert (poster.format, poster.size) == ("JPEG", (160, 96))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 150
    assert pixel[1] < 60


def test_a_video_by_its_address_is_delivered_byte_for_byte(address: str) -> None:
    """The bytes are those of the server, not those that the player has loaded."""
    recorded = deliver(address, "record video/webm").image.data
    with serve_result_page({"film.webm": ("video/webm", recorded)}) as url:
        delivery = deliver(url, "video film.webm")

    assert (delivery.image.data, delivery.image.media_type) == (recorded, "video/webm")
    assert delivery.poster is not None


def test_a_picture_above_the_pixel_limit_is_delivered_byte_for_byte(address: str) -> None:
    """Its poster is scaled down."""
    delivery = deliver(address, "img huge.png")

    assert (delivery.image.data, delivery.image.width, delivery.image.height) == (HUGE, 8192, 8192)
    assert delivery.poster is not None
    with Image.open(io.BytesIO(delivery.poster)) as poster:
        assert (poster.format, poster.size) == ("JPEG", (2048, 2048))


def test_a_result_with_too_many_bytes_is_refused_and_blames_nobody(address: str) -> None:
    """The error states the limit; the circuit breaker does not count it, and no screenshot replaces it."""
    with pytest.raises(ResultRefused, match="64 MiB") as caught:
        deliver(address, "img heavy.png")
    assert caught.value.site_effect == ""


def test_a_picture_of_an_unknown_format_is_a_marked_screenshot(address: str) -> None:
    """Browsers show more formats than are delivered."""
    image = deliver(address, "img drawing.svg").image

    assert (image.media_type, image.lossy) == ("image/png", True)


def test_a_video_that_cannot_be_played_has_no_poster(address: str) -> None:
    """The caller then uses the last preview."""

    async def draw(context: BrowserContext) -> bytes | None:
        driver = Driver(context, result_page_recipe(address))
        return await driver.draw_poster(GeneratedImage(RESULTS["cut.mp4"][1], "video/mp4", 160, 96))

    assert run_in_browser(draw) is None


@pytest.mark.parametrize("media_type", ["video/webm", "video/mp4"])
def test_cut_videos_are_no_results(address: str, media_type: str) -> None:
    """A video that was cut within a part is broken, and never taken for one of another size."""
    whole = deliver(address, f"record {media_type}").image
    ends = range(40, len(whole.data) - 1, max(1, len(whole.data) // 50))
    sizes = [_size(whole.data[:end]) for end in ends]

    assert sizes.count(None) > len(sizes) // 2
    assert {size for size in sizes if size} <= {(whole.width, whole.height)}


def _size(data: bytes) -> tuple[int, int] | None:
    """Return the size of a result; None if it is refused."""
    try:
        image = convert.identify(data)
    except ResultRefused:
        return None
    return image.width, image.height
