"""Real clients of AUTOMATIC1111's API, with a browser: the package webuiapi, and what popular programs send."""

import asyncio
import base64
import io
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from webuiapi import WebUIApi

from ops.infra.settings import SHIPPED_RECIPES, Settings
from tests.conftest import API_KEY, TIMEOUT_S, eventually
from tests.integration.conftest import Deployment, serve_app, start_deployment
from tests.support import sdapi_clients
from tests.support.image_pages import image_page_recipe, serve_image_page
from tests.support.images import draw_image, encode
from tests.support.programs.gradio_server import run_gradio_server
from tests.support.programs.rendering import is_image_of
from tests.support.recipe_files import write_recipe
from tests.support.sdapi_clients import RecordedProgram

# The first test waits for the environment of Gradio, which may have to be made.
pytestmark = pytest.mark.timeout(600)
GRADIO_VERSION = "5.50.0"
PROMPT = "a lighthouse at dusk"
SMALL = {"width": 256, "height": 256, "steps": 6}
KEY = ("darkroom", API_KEY)


@dataclass(frozen=True)
class Stack:
    """A deployment with the studio, a Gradio page and a page that takes pictures, and its address."""

    deployment: Deployment
    url: str

    def open_client(self) -> WebUIApi:
        """Return the client of the package, as its users make one."""
        address = urlsplit(self.url)
        return WebUIApi(host=address.hostname, port=address.port, username=KEY[0], password=KEY[1], sampler="Euler a")


@pytest.fixture(scope="module")
def stack(base_settings: Settings) -> Iterator[Stack]:
    """One deployment for all tests; its key is needed by all but plugins, which send none."""
    uploads = [{"image": "init", "selectors": ["#init"]}, {"image": "mask", "selectors": ["#mask"]}]
    with (
        tempfile.TemporaryDirectory(prefix="dr-") as name,
        tempfile.TemporaryDirectory(prefix="dr-") as files,
        run_gradio_server(GRADIO_VERSION, Path(files)) as gradio,
        serve_image_page() as image_page,
    ):
        recipes = Path(name) / "recipes"
        write_recipe(recipes / "studio_img2img.toml", image_page_recipe(image_page, *uploads))
        # The page has no field for a width; the test need not wait for one as long as the recipe does.
        text = (SHIPPED_RECIPES / "gradio.toml").read_text()
        (recipes / "gradio.toml").write_text(text.replace('when = "width"', 'when = "width"\ntimeout = 500'))
        changes: dict[str, Any] = {
            "recipes_dir": recipes,
            "site_urls": {"gradio": f"{gradio.url}/streamed/"},
            "allow_anonymous_sdapi": True,
        }
        with (
            start_deployment(base_settings, Path(name), **changes) as deployment,
            serve_app(deployment.app.client.application) as url,
        ):
            yield Stack(deployment, url)


@pytest.fixture
def client(stack: Stack) -> Iterator[WebUIApi]:
    """A client of the package, whose options are those of the start."""
    client = stack.open_client()
    client.set_options({"sd_model_checkpoint": "studio"})
    yield client
    client.session.close()


def test_the_package_makes_pictures_in_the_studio(stack: Stack, client: WebUIApi) -> None:
    """The same pictures as the native API makes, LoRA included, with infotexts that the package reads back."""
    assert "studio" in client.util_get_model_names()
    assert "Oil Impasto" in [lora["name"] for lora in client.get_loras()]

    result = client.txt2img(
        prompt=f"{PROMPT}, <lora:Oil Impasto:1>", negative_prompt="fog", seed=7, n_iter=2, cfg_scale=9, **SMALL
    )

    assert [image.size for image in result.images] == [(256, 256)] * 2
    assert (result.info["seed"], result.info["all_seeds"]) == (7, [7, 8])
    assert result.info["darkroom"]["ignored"] == ["cfg_scale"]
    assert client.png_info(result.images[1]).info == result.info["infotexts"][1]
    assert "Seed: 8" in result.info["infotexts"][1]
    app = stack.deployment.app
    native = app.submit(f"{PROMPT},", lora="Oil Impasto", seed=7, negativePrompt="fog", **SMALL)
    assert app.wait_for_end(native)["status"] == "COMPLETED"
    with Image.open(io.BytesIO(app.get(f"/api/v1/jobs/{native}/result").data)) as expected:
        assert result.image.convert("RGB").tobytes() == expected.convert("RGB").tobytes()
    client.util_wait_for_ready()


# The package's own way of authenticating.
@pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning")
def test_the_package_makes_pictures_on_a_gradio_page(client: WebUIApi) -> None:
    """The model is the site; its samplers come from the page; the size, for which it has no field, is left out."""
    client.util_set_model("gradio")
    assert client.util_get_current_model() == "gradio"
    assert "DPM++ 2M" in client.util_get_sampler_names()

    async def make_one() -> Any:
        return await client.txt2img(prompt=PROMPT, negative_prompt="fog", seed=8, steps=12, use_async=True)

    first = client.txt2img(prompt=PROMPT, negative_prompt="fog", seed=7, steps=12, sampler_name="DPM++ 2M")
    second = asyncio.run(make_one())

    for number, image in enumerate(first.images):
        assert is_image_of(image, f"{PROMPT}|fog|7|12|DPM++ 2M", number)
    assert is_image_of(second.image, f"{PROMPT}|fog|8|12|Euler a")
    assert first.info["sampler_name"] == "DPM++ 2M"
    assert {"width", "height"} <= set(first.info["darkroom"]["ignored"])
    assert first.info["infotexts"][0].splitlines()[2].startswith("Steps: 12, Sampler: DPM++ 2M, Seed: 7, Size: ")


def test_the_package_repaints_pictures(client: WebUIApi) -> None:
    """The site that takes pictures stands in for the studio, which takes none; the mask goes with them."""
    photo, mask = draw_image((96, 64)), draw_image((96, 64), "L")

    result = client.img2img(images=[photo], mask_image=mask, prompt=PROMPT, denoising_strength=0.4)

    assert result.images[0].convert("RGB").tobytes() == photo.convert("RGB").tobytes()
    assert result.images[1].convert("L").tobytes() == mask.tobytes()
    assert result.parameters["init_images"] is None
    with pytest.raises(RuntimeError, match="same size"):
        client.img2img(images=[photo], mask_image=draw_image((8, 8), "L"), prompt=PROMPT)


def test_pictures_of_other_formats_are_converted(client: WebUIApi) -> None:
    """All pictures of a job are PNG, with their infotexts, whatever the page makes."""
    jpegs = [base64.b64encode(encode(draw_image((96, 64), mode), "JPEG")).decode() for mode in ("RGB", "L")]
    body = {"prompt": PROMPT, "init_images": jpegs[:1], "mask": jpegs[1], "include_init_images": True}

    answer = client.session.post(f"{client.baseurl}/img2img", json=body).json()

    pictures = [sdapi_clients.open_picture(text) for text in answer["images"]]
    assert [picture.format for picture in pictures] == ["PNG", "PNG"]
    assert all("Size: 96x64" in picture.info["parameters"] for picture in pictures)
    assert answer["parameters"]["init_images"] == jpegs[:1]


def test_a_client_that_hangs_up_keeps_its_job(stack: Stack) -> None:
    """The job goes on, and any other API has its picture."""
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{stack.url}/sdapi/v1/txt2img",
            json={"prompt": "a lost line", **SMALL},
            auth=KEY,
            timeout=httpx.Timeout(TIMEOUT_S, read=0.3),
            trust_env=False,
        )

    def find_job() -> str:
        """The job may be made after its client has gone."""
        jobs = stack.deployment.app.get("/api/v1/jobs").json["jobs"]
        return next((job["id"] for job in jobs if job["prompt"] == "a lost line"), "")

    job_id = eventually(find_job)
    assert stack.deployment.app.wait_for_end(job_id)["status"] == "COMPLETED"


def test_the_package_interrupts(client: WebUIApi) -> None:
    """Previews are shown while the request waits; it is answered when it has been interrupted."""
    results: list[Any] = []

    def run() -> None:
        results.append(client.txt2img(prompt=PROMPT, n_iter=8, seed=1, width=512, height=512, steps=60))

    thread = threading.Thread(target=run)
    watcher = client
    thread.start()
    shown = eventually(lambda: (progress := watcher.get_progress())["current_image"] and progress)
    assert watcher.interrupt() == {}
    thread.join(60)

    assert shown["state"]["job_count"] == 8
    assert 0 < shown["progress"] < 1
    assert Image.open(io.BytesIO(base64.b64decode(shown["current_image"]))).format == "JPEG"
    [result] = results
    assert {failure["code"] for failure in result.info["darkroom"]["failures"]} == {"cancelled"}
    assert 1 <= len(result.images) < 8
    client.util_wait_for_ready()


def test_what_the_package_cannot_have_is_refused_in_words(client: WebUIApi) -> None:
    """It shows the status and the words."""
    with pytest.raises(RuntimeError, match="Upscaling") as caught:
        client.extra_single_image(draw_image((8, 8)))
    assert caught.value.args[0] == 501
    with pytest.raises(RuntimeError, match="width"):
        client.txt2img(prompt=PROMPT, width=100)


def test_silly_tavern(stack: Stack) -> None:
    """Its calls on connecting, on choosing a model and on making a picture."""
    program = RecordedProgram(stack.url, KEY)

    picture = sdapi_clients.play_silly_tavern(program, "studio", PROMPT)

    assert picture.size == (512, 512)
    assert picture.info["parameters"].startswith(f"{PROMPT}\nNegative prompt: blurry\nSteps: 12, Seed: ")
    program.close()


def test_open_webui(stack: Stack) -> None:
    """It sends all options back, and asks for two pictures at once."""
    program = RecordedProgram(stack.url, KEY)

    pictures = sdapi_clients.play_open_webui(program, "studio", PROMPT)

    assert [picture.size for picture in pictures] == [(512, 512)] * 2
    assert pictures[0].tobytes() != pictures[1].tobytes()
    program.close()


def test_krita(stack: Stack) -> None:
    """A plugin that sends no key: its lists, a picture of words, and one of a layer."""
    program = RecordedProgram(stack.url, None)
    layer = draw_image((96, 64))
    encoded = base64.b64encode(encode(layer, "PNG")).decode()

    words, repainted = sdapi_clients.play_krita(program, "studio", PROMPT, encoded)

    assert words.size == (512, 512)
    assert "Seed: 7" in words.info["parameters"]
    assert repainted.convert("RGB").tobytes() == layer.convert("RGB").tobytes()
    program.close()


def test_photoshop(stack: Stack) -> None:
    """A plugin that sends no key and fields of its own: its lists, two pictures of words, and a repainted selection."""
    program = RecordedProgram(stack.url, None)
    selection, mask = draw_image((96, 64)), draw_image((96, 64), "L")
    encoded = [base64.b64encode(encode(image, "PNG")).decode() for image in (selection, mask)]

    words, repainted, seed = sdapi_clients.play_photoshop(program, "studio", PROMPT, *encoded)

    assert ([picture.size for picture in words], seed) == ([(512, 512)] * 2, "7")
    assert words[0].tobytes() != words[1].tobytes()
    assert repainted[0].convert("RGB").tobytes() == selection.convert("RGB").tobytes()
    assert "POST /sdapi/v1/png-info" in program.calls
    program.close()
