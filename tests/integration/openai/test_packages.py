"""The official packages of OpenAI for Python and Node, unmodified, make and edit pictures."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from tests.conftest import API_KEY, TIMEOUT_S
from tests.integration.openai.conftest import Server
from tests.support.images import draw_image, encode
from tests.support.node_packages import install_node_packages, run_node

SCENARIO = Path(__file__).parent / "node_scenario.mjs"
PROMPT = "a quiet lake at dawn"
SIZE = "256x256"
# Steps enough for previews between the first and the last.
QUICK: dict[str, Any] = {"steps": 4}
SLOW: dict[str, Any] = {"steps": 40}
PHOTO, OTHER = encode(draw_image((96, 64)), "PNG"), encode(draw_image((64, 96)), "PNG")


def draw_alpha_mask() -> bytes:
    """Return a picture whose left half is transparent: the part to repaint."""
    image = Image.new("RGBA", (96, 64), (9, 9, 9, 255))
    image.paste((9, 9, 9, 0), (0, 0, 48, 64))
    return encode(image, "PNG")


MASK = draw_alpha_mask()


def open_image(data: bytes) -> tuple[str | None, tuple[int, int]]:
    """Return format and size of a picture."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.format, image.size


def decode(text: str | None) -> bytes:
    """Return the bytes of a picture of an answer."""
    return base64.b64decode(text or "")


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    """The synchronous client."""
    return openai.OpenAI(base_url=server.api_url, api_key=API_KEY, max_retries=0)


def test_python_makes_pictures(server: Server, client: openai.OpenAI) -> None:
    """As bytes and as URLs, several at once, in another format, and the same as the native API makes them."""
    models = {model.id for model in client.models.list()}
    two = client.images.generate(
        model="studio", prompt=PROMPT, size=SIZE, n=2, response_format="b64_json", extra_body=QUICK | {"seed": 7}
    )
    linked = client.images.generate(
        model="dall-e-3", prompt=PROMPT, size=SIZE, response_format="url", output_format="webp", extra_body=QUICK
    )

    assert {"studio", "pictures"} <= models
    assert client.models.retrieve("studio").owned_by == "darkroom"
    assert two.data
    first, second = (decode(image.b64_json) for image in two.data)
    assert open_image(first) == ("PNG", (256, 256))
    assert first != second
    assert (two.size, two.output_format) == (SIZE, "png")
    job_id = server.app.submit(PROMPT, width=256, height=256, steps=4, seed=8)
    server.app.wait_for_end(job_id)
    assert server.app.get(f"/api/v1/jobs/{job_id}/result").data == second
    assert linked.data
    assert linked.data[0].b64_json is None
    address = server.own_url(linked.data[0].url or "")
    assert open_image(httpx.get(address, timeout=TIMEOUT_S, trust_env=False).content) == ("WEBP", (256, 256))


def test_python_streams_partial_images(client: openai.OpenAI) -> None:
    """As many as were asked for, then the picture."""
    stream = client.images.generate(
        model="studio", prompt=PROMPT, size="512x512", stream=True, partial_images=2, extra_body=SLOW
    )
    events = list(stream)
    *partials, completed = events

    assert [event.type for event in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [event.partial_image_index for event in partials] == [0, 1]  # type: ignore[union-attr] # see the types
    assert {open_image(decode(event.b64_json))[0] for event in partials} == {"JPEG"}
    assert open_image(decode(completed.b64_json)) == ("PNG", (512, 512))
    assert (completed.size, completed.quality, completed.output_format) == ("512x512", "auto", "png")
    assert completed.type == "image_generation.completed"
    assert completed.usage.total_tokens == 0


def test_python_edits_pictures(server: Server, client: openai.OpenAI) -> None:
    """The page gets the picture as it is, and the mask in black and white."""
    raw = client.images.with_raw_response.edit(
        model="pictures", image=("photo.png", PHOTO), mask=("mask.png", MASK), prompt=PROMPT
    )
    answer = raw.parse()
    events = list(client.images.edit(model="pictures", image=[PHOTO], prompt=PROMPT, stream=True))

    assert answer.data
    assert decode(answer.data[0].b64_json) == PHOTO + b"!"
    mask = httpx.get(f"{server.url}/{raw.headers['x-darkroom-jobs']}/2", timeout=TIMEOUT_S, trust_env=False).content
    with Image.open(io.BytesIO(mask[:-1])) as image:
        drawn = image.convert("RGB")
    assert (drawn.size, drawn.getpixel((10, 10)), drawn.getpixel((90, 10))) == ((96, 64), (255,) * 3, (0,) * 3)
    assert [event.type for event in events] == ["image_edit.completed"]
    assert decode(events[0].b64_json) == PHOTO + b"!"


def test_python_edits_several_pictures(server: Server, client: openai.OpenAI) -> None:
    """Each goes to an input of its own; a site with fewer refuses them."""
    raw = client.images.with_raw_response.edit(model="pair", image=[PHOTO, OTHER], prompt=PROMPT)
    second = httpx.get(f"{server.url}/{raw.headers['x-darkroom-jobs']}/2", timeout=TIMEOUT_S, trust_env=False).content
    with pytest.raises(openai.BadRequestError, match="pictures has no such input") as caught:
        client.images.edit(model="pictures", image=[PHOTO, OTHER], prompt=PROMPT)

    assert decode((raw.parse().data or [])[0].b64_json) == PHOTO + b"!"
    assert second == OTHER + b"!"
    assert caught.value.param == "image[1]"


def test_python_raises_its_own_errors(server: Server, client: openai.OpenAI) -> None:
    """Each condition is the exception that the package documents for it, with code and parameter."""
    with pytest.raises(openai.BadRequestError, match="studio takes prompt") as invalid:
        client.images.generate(model="studio", prompt=PROMPT, extra_body={"mood": "gloomy"})
    with pytest.raises(openai.NotFoundError) as unknown:
        client.images.generate(model="nowhere", prompt=PROMPT)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=server.api_url, api_key="not a key", max_retries=0).models.list()
    with pytest.raises(openai.BadRequestError, match="studio has no such input"):
        client.images.edit(model="studio", image=PHOTO, prompt=PROMPT)

    assert (invalid.value.param, invalid.value.code, invalid.value.type) == ("mood", "invalid", "invalid_request_error")
    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")


async def make_async(server: Server) -> tuple[list[bytes], list[str]]:
    """Make two pictures at once, and stream a third; return their bytes and the types of the events."""
    async with openai.AsyncOpenAI(base_url=server.api_url, api_key=API_KEY, max_retries=0) as client:
        requests = [
            client.images.generate(model="studio", prompt=PROMPT, size=SIZE, extra_body=QUICK | {"seed": seed})
            for seed in (1, 2)
        ]
        answers = await asyncio.gather(*requests)
        stream = await client.images.generate(
            model="studio", prompt=PROMPT, size=SIZE, stream=True, partial_images=1, extra_body=SLOW
        )
        types = [event.type async for event in stream]
        return [decode((answer.data or [])[0].b64_json) for answer in answers], types


def test_asynchronous_python_works_too(server: Server) -> None:
    """Requests wait side by side."""
    pictures, types = asyncio.run(make_async(server))

    assert len(set(pictures)) == 2
    assert {open_image(picture) for picture in pictures} == {("PNG", (256, 256))}
    assert types == ["image_generation.partial_image", "image_generation.completed"]


def test_node_makes_and_edits_pictures(server: Server, tmp_path: Path) -> None:
    """Bytes, URLs, streams, edits with a mask, and errors."""
    (tmp_path / "node_modules").symlink_to(install_node_packages("npm-openai") / "node_modules")
    script = tmp_path / "scenario.mjs"
    script.write_text(SCENARIO.read_text())
    pictures = {"photo": base64.b64encode(PHOTO).decode(), "mask": base64.b64encode(MASK).decode()}
    seen = json.loads(run_node(script, json.dumps({"url": server.api_url, "key": API_KEY, **pictures})))

    assert "studio" in seen["models"]
    assert open_image(decode(seen["picture"])) == ("PNG", (256, 256))
    assert open_image(httpx.get(server.own_url(seen["link"]), timeout=TIMEOUT_S, trust_env=False).content)[1] == (
        256,
        256,
    )
    assert seen["types"] == ["image_generation.partial_image", "image_generation.completed"]
    assert open_image(decode(seen["streamed"])) == ("PNG", (256, 256))
    assert [decode(text) for text in seen["edited"]] == [PHOTO + b"!", PHOTO + b"!"]
    assert seen["editTypes"] == ["image_edit.completed"]
    assert seen["errors"] == [
        {"name": "BadRequestError", "status": 400, "code": "invalid", "param": "mood"},
        {"name": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"},
        {"name": "AuthenticationError", "status": 401, "code": "invalid_api_key", "param": None},
    ]
