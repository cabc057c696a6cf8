"""Pictures go through a whole deployment: from a request to the page, over retries, and back as results of any kind."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ops.infra.settings import Settings
from tests.integration.conftest import Deployment, start_deployment
from tests.support.image_pages import image_page_recipe, serve_image_page
from tests.support.images import build_png, draw_image, encode
from tests.support.recipe_files import write_recipe
from tests.support.result_page import result_page_recipe_file, serve_result_page
from workers.images.convert import MAX_IMAGE_BYTES

PHOTO, MASK = encode(draw_image((96, 64)), "PNG"), encode(draw_image((96, 64), "L"), "PNG")
HUGE = build_png(8192, 8192, (b"\0" + b"\x80" * 8192) * 8192)
CUT_GIF = encode(draw_image(), "GIF")[:-1]
RESULTS = {
    "huge.png": ("image/png", HUGE),
    "heavy.png": ("image/png", PHOTO + bytes(MAX_IMAGE_BYTES)),
    "cut.gif": ("image/gif", CUT_GIF),
    "still.avif": ("image/avif", encode(draw_image(), "AVIF")),
}


@pytest.fixture(scope="module")
def running(base_settings: Settings) -> Iterator[Deployment]:
    """A deployment with the sites ``pictures`` and ``results``."""
    uploads = [{"image": "init", "selectors": ["#init"]}, {"image": "mask", "selectors": ["#mask"]}]
    with (
        tempfile.TemporaryDirectory(prefix="dr-") as name,
        serve_image_page() as image_page,
        serve_result_page(RESULTS) as result_page,
    ):
        recipes = Path(name) / "recipes"
        write_recipe(recipes / "pictures.toml", image_page_recipe(image_page, *uploads))
        write_recipe(recipes / "results.toml", result_page_recipe_file(result_page))
        with start_deployment(base_settings, Path(name), recipes_dir=recipes, site="pictures") as deployment:
            yield deployment


def run(running: Deployment, prompt: str) -> dict[str, Any]:
    """Run a job of the site ``results`` and return it."""
    response = running.app.post("/api/v1/jobs", json={"prompt": prompt, "site": "results"})
    assert response.status_code == 202, response.text
    return running.app.wait_for_end(response.json["id"])


def test_pictures_reach_the_page_and_results_come_back(running: Deployment) -> None:
    """The worker, another process, reads them from the media store; its log has no byte of them."""
    form = {"prompt": "a harbour", "init": (io.BytesIO(PHOTO), "my holidays.png"), "mask": (io.BytesIO(MASK), "m.png")}
    job = running.app.wait_for_end(running.app.post("/api/v1/jobs", data=form).json["id"])

    assert job["status"] == "COMPLETED", job["error"]
    contents = [running.app.get(f"/api/v1/jobs/{job['id']}/results/{number}").data for number in (1, 2)]
    assert contents == [PHOTO + b"!", MASK + b"!"]
    log = running.log("worker") + running.log("background")
    assert "holidays" not in log
    assert "base64" not in log


def test_a_released_job_keeps_its_picture(running: Deployment) -> None:
    """Another worker takes it over and gets the same picture."""
    running.processes["worker"].terminate()
    running.processes["worker"].wait(60)
    job_id = running.app.post("/api/v1/jobs", data={"prompt": "a harbour", "init": (io.BytesIO(PHOTO), "p")}).json["id"]
    job = running.app.stores.attempts.claim("a worker that dies")
    assert job is not None
    assert job.id == job_id
    running.start("worker")

    ended = running.app.wait_for_end(job_id)
    assert (ended["status"], ended["attempt"]) == ("COMPLETED", 2)
    assert running.app.get(f"/api/v1/jobs/{job_id}/result").data == PHOTO + b"!"


def test_a_video_is_delivered_with_its_poster(running: Deployment) -> None:
    """With its type, its extension and ranges; conversions are refused with the reason."""
    job = run(running, "record video/webm")
    [result] = job["results"]
    path = f"/{job['id']}"
    original, part = running.app.get(f"{path}.webm"), running.app.get(f"{path}.webm", headers={"Range": "bytes=4-9"})

    assert (result["type"], result["width"], result["height"]) == ("video/webm", 160, 96)
    assert result["posterUrl"].endswith(f"{path}.jpg")
    assert (original.mimetype, len(original.data)) == ("video/webm", result["sizeBytes"])
    assert original.headers["Accept-Ranges"] == "bytes"
    assert original.headers["Content-Disposition"] == f'inline; filename="{job["id"]}.webm"'
    assert (part.status_code, part.data) == (206, original.data[4:10])
    with Image.open(io.BytesIO(running.app.get(f"{path}.jpg").data)) as poster:
        assert (poster.format, poster.size) == ("JPEG", (160, 96))
    refused = running.app.get(f"{path}.png")
    assert (refused.status_code, "video/webm" in refused.text) == (409, True)
    assert running.app.get(f"{path}.mp4").status_code == 404


def test_a_picture_above_the_pixel_limit_is_delivered(running: Deployment) -> None:
    """Byte for byte, with a scaled JPEG; only the conversion is refused."""
    job = run(running, "img huge.png")

    assert (job["status"], job["results"][0]["width"], job["results"][0]["lossy"]) == ("COMPLETED", 8192, False)
    assert running.app.get(f"/{job['id']}.png").data == HUGE
    with Image.open(io.BytesIO(running.app.get(f"/{job['id']}.jpg").data)) as poster:
        assert poster.size == (2048, 2048)
    refused = running.app.get(f"/{job['id']}.webp")
    assert (refused.status_code, "64,000,000" in refused.text) == (409, True)


@pytest.mark.parametrize("name", ["cut.gif", "still.avif"])
def test_other_kinds_have_their_own_extension(running: Deployment, name: str) -> None:
    """The original is served under it, and the JPEG is a conversion."""
    job = run(running, f"img {name}")
    media_type, data = RESULTS[name]
    served = running.app.get(f"/{job['id']}.{name.partition('.')[2]}")

    assert (served.data, served.mimetype) == (data, media_type)
    with Image.open(io.BytesIO(running.app.get(f"/{job['id']}.jpg").data)) as converted:
        assert (converted.format, converted.size) == ("JPEG", (64, 48))


def test_results_that_are_too_large_do_not_open_the_circuit(running: Deployment) -> None:
    """However many there are, the site stays available."""
    jobs = [run(running, "img heavy.png") for _ in range(5)]

    assert {job["error"]["code"] for job in jobs} == {"result_not_accepted"}
    assert "64 MiB" in jobs[0]["error"]["message"]
    assert running.app.get("/api/v1/sites/results").json["circuit"]["state"] == "closed"
    assert run(running, "img still.avif")["status"] == "COMPLETED"


def test_a_kept_picture_is_made_again(running: Deployment) -> None:
    """The studio draws the same picture, byte for byte, from what the token knows; the comparison says so."""
    app = running.app
    inputs = {"seed": 7, "width": 256, "height": 256, "steps": 4}
    body = {"prompt": "a lighthouse at dusk", "site": "studio", "lora": "Ukiyo-e", "inputs": inputs}
    job_id = app.post("/api/v1/jobs", json=body).json["id"]
    assert app.wait_for_end(job_id)["status"] == "COMPLETED"
    picture = app.get(f"/api/v1/jobs/{job_id}/result").data
    slug = app.post("/api/v1/gallery/collections", json={"name": "Kept"}).json["slug"]
    token = app.post(f"/api/v1/gallery/collections/{slug}/tokens", json={"jobId": job_id}).json
    kept = app.get("/" + token["media"]["url"].split("/", 3)[3]).data
    assert kept == picture

    again = app.post(f"/api/v1/gallery/tokens/{token['tokenId']}/rerun").json
    assert app.wait_for_end(again["id"])["status"] == "COMPLETED"
    comparison = app.get(f"/api/v1/gallery/tokens/{token['tokenId']}/rerun/{again['id']}").json
    assert (comparison["identical"], comparison["deterministic"]) == (True, True), comparison
