"""The whole life of a job: HTTP API, a real worker, a real browser, the demo page."""

import io
import itertools
import json
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ops.infra.settings import Settings
from schemas.jobs.events import EventType
from tests.conftest import API_KEY, describe_image, eventually
from tests.integration.conftest import AppClient, Deployment, start_deployment

SLOW: dict[str, Any] = {"width": 1024, "height": 1024, "steps": 60}


@pytest.fixture
def app(deployment: Deployment) -> AppClient:
    """The app of the whole deployment, instead of the one without workers."""
    return deployment.app


def followed_states(app: AppClient, job_id: str) -> list[str]:
    """The states that a client sees which follows the job."""
    states: list[str] = []
    seq = 0
    while True:
        status = app.get(f"/status/{job_id}", query_string={"wait": 20, "since": seq}).json
        states.append(status["status"])
        seq = status["seq"]
        if status["status"] in ("COMPLETED", "FAILED"):
            return [state for state, _ in itertools.groupby(states)]


def test_a_prompt_becomes_an_image(app: AppClient) -> None:
    """Previews arrive while it runs, the image is there in four formats, and the times are consistent."""
    response = app.get("/generateImage", query_string={"prompt": "a lighthouse at dusk, oil painting"}).json
    job_id = response["imageId"]
    previews: set[bytes] = set()
    changes: list[int] = []
    seq = 0
    while True:
        status = app.get(f"/status/{job_id}", query_string={"wait": 20, "since": seq}).json
        seq = status["seq"]
        changes.append(status["lastModifiedDate"])
        picture = app.client.get(f"/{job_id}.jpg")
        if status["status"] == "PENDING" and picture.status_code == 200:
            previews.add(picture.data)
        if status["status"] in ("COMPLETED", "FAILED"):
            break

    assert (status["status"], status["error"]) == ("COMPLETED", None)
    assert len(previews) >= 2
    for preview in previews:
        with Image.open(io.BytesIO(preview)) as image:
            assert image.width <= 400
    assert sorted(set(changes)) == changes
    assert status["expiresAt"] > status["lastModifiedDate"] >= status["startTime"]
    for path, format_ in (
        (f"/{job_id}", "PNG"),
        (f"/{job_id}.jpg", "JPEG"),
        (f"/{job_id}.png", "PNG"),
        (f"/{job_id}.webp", "WEBP"),
    ):
        response = app.client.get(path)
        with Image.open(io.BytesIO(response.data)) as image:
            assert (format_, (512, 512), f"image/{format_.lower()}") == (image.format, image.size, response.mimetype)
    job = app.get_job(job_id)
    assert not job["result"]["lossy"]
    assert describe_image(app.client.get(f"/{job_id}").data) == describe_image(
        app.get(f"/api/v1/jobs/{job_id}/result").data
    )
    assert job["result"]["sizeBytes"] == len(app.client.get(f"/{job_id}").data)


def test_states_come_in_order(app: AppClient) -> None:
    """A following client sees them, as far as it asks in time, and the events of all."""
    job_id = app.submit()
    states = followed_states(app, job_id)

    assert states == [state for state in ("QUEUED", "STARTING", "PENDING", "COMPLETED") if state in states]
    assert states[-1] == "COMPLETED"
    events = app.stores.event_log.read_job(app.stores.jobs.get(job_id), 0)
    kinds = [kind for kind, _ in itertools.groupby(event.type for event in events)]
    assert kinds[:2] == [EventType.QUEUED, EventType.STARTING]
    assert EventType.PROGRESS in kinds
    assert kinds[-1] is EventType.COMPLETED


def test_equal_inputs_give_equal_images(app: AppClient) -> None:
    """Another seed, prompt or style gives another image."""

    def generate(**inputs: Any) -> str:
        job_id = app.submit(**inputs)
        assert app.wait_for_end(job_id)["status"] == "COMPLETED"
        return describe_image(app.client.get(f"/{job_id}").data)

    first = generate(seed=7)

    assert first == generate(seed=7)
    others = [generate(seed=8), generate(seed=7, prompt="a city in the rain"), generate(seed=7, lora="Linocut")]
    assert len({first, *others}) == 4


def test_inputs_reach_the_page(app: AppClient) -> None:
    """The image has the requested size, and placeholders in a prompt are not expanded."""
    job_id = app.submit(prompt="a harbour {{seed}} {{lora}}", width=320, height=256)
    job = app.wait_for_end(job_id)

    assert (job["result"]["width"], job["result"]["height"]) == (320, 256)
    assert job["prompt"] == "a harbour {{seed}} {{lora}}"


def test_lora_names_are_case_insensitive(app: AppClient) -> None:
    """A name in another case is found."""
    assert app.wait_for_end(app.submit(lora="uKiYo-E"))["status"] == "COMPLETED"


def test_an_unknown_lora_suggests_similar_names(app: AppClient) -> None:
    """The job fails without a retry, and the message has three existing names."""
    job = app.wait_for_end(app.submit(lora="Ukiyo"))

    assert (job["status"], job["error"]["code"], job["attempt"]) == ("FAILED", "lora_not_found", 1)
    assert "Ukiyo-e" in job["error"]["message"]
    assert job["error"]["message"].count(",") == 2


def test_a_refused_prompt_reports_the_message_of_the_page(app: AppClient) -> None:
    """The job fails without a retry and has a failure report."""
    job_id = app.submit(prompt="gore in a meadow")
    job = app.wait_for_end(job_id)

    assert (
        job["status"],
        job["error"]["code"],
        job["attempt"],
        job["error"]["retryable"],
    ) == ("FAILED", "site_refused", 1, False)
    assert "gore" in job["error"]["message"]
    bundle = app.get(f"/api/v1/jobs/{job_id}/failure").json
    assert bundle["screenshot"].startswith("data:image/jpeg;base64,")
    assert "gore" in bundle["dom"]
    assert bundle["url"].startswith("https://studio.darkroom.invalid")


def test_concurrent_jobs_do_not_mix(app: AppClient) -> None:
    """Each job gets the image of its own seed."""
    single = {seed: app.submit(seed=seed) for seed in range(4)}
    expected = {
        seed: (app.wait_for_end(job_id), describe_image(app.client.get(f"/{job_id}").data))[1]
        for seed, job_id in single.items()
    }
    concurrent = [(seed, app.submit(seed=seed)) for seed in (0, 1, 2, 3, 3, 2, 1, 0)]

    for seed, job_id in concurrent:
        assert app.wait_for_end(job_id)["status"] == "COMPLETED"
        assert expected[seed] == describe_image(app.client.get(f"/{job_id}").data)


def test_a_running_job_can_be_cancelled(app: AppClient) -> None:
    """Its page is closed, and there is no image."""
    job_id = app.submit(**SLOW)
    eventually(lambda: app.get_job(job_id)["status"] == "PENDING")

    # 200 if the job ended before the response.
    assert app.delete(f"/api/v1/jobs/{job_id}").status_code in {200, 202}
    job = app.wait_for_end(job_id)
    assert (job["status"], job["error"]["code"]) == ("FAILED", "cancelled")
    assert app.client.get(f"/{job_id}.jpg").status_code == 404
    eventually(lambda: app.stores.workers.list_alive()[0].contexts == 0)


def test_lora_search_uses_the_site(app: AppClient) -> None:
    """The site's own search finds styles, with preview images that the API serves."""
    response = app.get("/search-loras?query=print")
    names = [lora["name"] for lora in response.json]

    assert (response.status_code, response.headers.get("X-Darkroom-Partial")) == (200, None)
    assert "Linocut" in names
    for lora in response.json:
        assert {"name", "image", "tags", "description"} == set(lora)
        path = lora["image"].removeprefix(app.stores.settings.public_url)
        assert app.client.get(path, buffered=True).mimetype == "image/webp"
    assert app.get("/search-loras?query=xyzzy").json == []


def test_quota_shows_the_quota_of_the_site(app: AppClient) -> None:
    """It shows the numbers of the page, once the site has answered."""
    expected = {"name": "studio", "used": "0", "limit": "1500"}

    eventually(lambda: app.get("/api/v1/quota").json["site"] == expected)


def test_health_is_ok(app: AppClient) -> None:
    """``/health`` reports a ready worker with its browser and slots."""
    assert app.client.get("/health").json == {"status": "OK"}
    workers = app.get("/health").json["workers"]
    assert (workers["ready"], workers["workers"][0]["slots"], bool(workers["workers"][0]["browser"])) == (1, 2, True)


def test_fast_polling_is_not_limited(app: AppClient) -> None:
    """Existing clients request health and status many times a second and need 200 each time."""
    job_id = app.submit(**SLOW)

    codes = [app.get(path).status_code for _ in range(50) for path in (f"/status/{job_id}", "/health")]

    assert {200} == set(codes)
    app.delete(f"/api/v1/jobs/{job_id}")


def test_pickup_and_run_times_are_measured(app: AppClient) -> None:
    """The histograms count every job."""
    app.wait_for_end(app.submit())
    text = app.get("/metrics").get_data(as_text=True)

    server = app.stores.settings.redis_servers[0].name
    assert f'darkroom_jobs_ended_total{{code="",server="{server}",site="studio",state="COMPLETED"}}' in text
    for name in ("pickup", "run"):
        count = next(line for line in text.splitlines() if line.startswith(f"darkroom_job_{name}_seconds_count"))
        assert float(count.split()[-1]) >= 1


def test_log_lines_have_context_and_no_secrets(deployment: Deployment) -> None:
    """Every line of an attempt has job, attempt, site and request. Prompts appear at debug level only, keys never."""
    job_id = deployment.app.submit(prompt="a very particular harbour")
    deployment.app.wait_for_end(job_id)

    def lines() -> list[str]:
        return [line for line in deployment.log("worker").splitlines() if job_id in line and '"job.' in line]

    eventually(lambda: any('"job.completed"' in line for line in lines()))
    for line in lines():
        assert {"job_id", "attempt", "site", "request_id"} <= set(json.loads(line)), line
        assert ("particular" in line) <= ('"debug"' in line)
    assert API_KEY not in deployment.log("worker")


def test_an_image_expires_as_announced(base_settings: Settings) -> None:
    """After RESULT_TTL_S, status and image are 410, and the list is empty."""
    with (
        tempfile.TemporaryDirectory(prefix="dr-") as folder,
        start_deployment(base_settings, Path(folder), result_ttl_s=3) as deployment,
    ):
        app = deployment.app
        job_id = app.submit()
        seq = app.get_job(job_id)["seq"]
        status: dict[str, Any] = {"status": ""}
        while status["status"] != "COMPLETED":
            status = app.get(f"/api/v1/jobs/{job_id}", query_string={"wait": 20, "since": seq}).json
            seq = status["seq"]
        assert status["expiresAt"] - status["finishedAt"] == 3000

        eventually(lambda: app.get(f"/status/{job_id}").status_code == 410)

        expired = app.get(f"/status/{job_id}").json
        assert expired["status"] == "NOT_FOUND"
        assert "expired" in expired["error"]
        assert app.client.get(f"/{job_id}.jpg").status_code == 410
        assert app.get(f"/api/v1/jobs/{job_id}").status_code == 410
        assert app.get("/api/v1/jobs").json["jobs"] == []


def test_an_attempt_has_a_deadline(base_settings: Settings) -> None:
    """A job that takes too long fails with the setting's value and a failure report, and its slot is free again."""
    with (
        tempfile.TemporaryDirectory(prefix="dr-") as folder,
        start_deployment(base_settings, Path(folder), job_deadline_s=4) as deployment,
    ):
        app = deployment.app
        job_id = app.submit(**SLOW)
        job = app.wait_for_end(job_id)

        assert (job["status"], job["error"]["code"], job["attempt"]) == ("FAILED", "deadline_exceeded", 1)
        assert "4 s" in job["error"]["message"]
        assert "studio" in app.get(f"/api/v1/jobs/{job_id}/failure").json["dom"]
        eventually(lambda: app.stores.workers.list_alive()[0].contexts == 0)


def test_many_clients_can_wait_for_one_job(app: AppClient) -> None:
    """Ten waiting clients all see the end."""
    job_id = app.submit()
    ends: list[list[str]] = []
    clients = [threading.Thread(target=lambda: ends.append(followed_states(app, job_id))) for _ in range(10)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert [states[-1] for states in ends] == ["COMPLETED"] * 10
