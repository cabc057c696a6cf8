"""A job's whole life: the HTTP front, a real worker, a real browser, the studio page."""

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
from tests.conftest import API_KEY, describe_image, eventually
from tests.integration.conftest import AppClient, Deployment, start_deployment

SLOW: dict[str, Any] = {"width": 1024, "height": 1024, "steps": 60}


@pytest.fixture
def app(deployment: Deployment) -> AppClient:
    """The front of the whole Darkroom, in place of the one without workers."""
    return deployment.app


def states_seen(app: AppClient, job_id: str) -> list[str]:
    """Every state that a client which follows the job sees, in order."""
    seen: list[str] = []
    seq = 0
    while True:
        shown = app.get(f"/status/{job_id}", query_string={"wait": 20, "since": seq}).json
        seen.append(shown["status"])
        seq = shown["seq"]
        if shown["status"] in ("COMPLETED", "FAILED"):
            return [state for state, _ in itertools.groupby(seen)]


def test_a_prompt_in_a_picture_out(app: AppClient) -> None:
    """States in order, two previews at least, a picture in four formats, times that fit."""
    answer = app.get("/generateImage", query_string={"prompt": "a lighthouse at dusk, oil painting"}).json
    ident = answer["imageId"]
    previews: set[bytes] = set()
    changes: list[int] = []
    seq = 0
    while True:
        shown = app.get(f"/status/{ident}", query_string={"wait": 20, "since": seq}).json
        seq = shown["seq"]
        changes.append(shown["lastModifiedDate"])
        picture = app.client.get(f"/{ident}.jpg")
        if shown["status"] == "PENDING" and picture.status_code == 200:
            previews.add(picture.data)
        if shown["status"] in ("COMPLETED", "FAILED"):
            break

    assert (shown["status"], shown["error"]) == ("COMPLETED", None)
    assert len(previews) >= 2
    for preview in previews:
        with Image.open(io.BytesIO(preview)) as image:
            assert image.width <= 400
    assert sorted(set(changes)) == changes
    assert shown["expiresAt"] > shown["lastModifiedDate"] >= shown["startTime"]
    for path, form in (
        (f"/{ident}", "PNG"),
        (f"/{ident}.jpg", "JPEG"),
        (f"/{ident}.png", "PNG"),
        (f"/{ident}.webp", "WEBP"),
    ):
        answer = app.client.get(path)
        with Image.open(io.BytesIO(answer.data)) as image:
            assert (form, (512, 512), f"image/{form.lower()}") == (image.format, image.size, answer.mimetype)
    job = app.get_job(ident)
    assert not job["result"]["lossy"]
    assert describe_image(app.client.get(f"/{ident}").data) == describe_image(
        app.get(f"/api/v1/jobs/{ident}/result").data
    )
    assert job["result"]["sizeBytes"] == len(app.client.get(f"/{ident}").data)


def test_the_states_come_in_order(app: AppClient) -> None:
    """A client that follows a job sees a way through the table."""
    seen = states_seen(app, app.submit())

    assert [state for state in seen if state != "QUEUED"] == ["STARTING", "PENDING", "COMPLETED"]


def test_the_same_seed_gives_the_same_bytes(app: AppClient) -> None:
    """And another seed, another prompt or another style gives another picture."""

    def painted(**how: Any) -> str:
        ident = app.submit(**how)
        assert app.wait_for_end(ident)["status"] == "COMPLETED"
        return describe_image(app.client.get(f"/{ident}").data)

    first = painted(seed=7)

    assert first == painted(seed=7)
    others = [painted(seed=8), painted(seed=7, prompt="a city in the rain"), painted(seed=7, lora="Linocut")]
    assert len({first, *others}) == 4


def test_inputs_reach_the_page(app: AppClient) -> None:
    """The picture has the size that was asked for, and what the prompt contains is never read as a placeholder."""
    ident = app.submit(prompt="a harbour {{seed}} {{lora}}", width=320, height=256)
    job = app.wait_for_end(ident)

    assert (job["result"]["width"], job["result"]["height"]) == (320, 256)
    assert job["prompt"] == "a harbour {{seed}} {{lora}}"


def test_a_lora_is_added(app: AppClient) -> None:
    """By its name, whatever the case."""
    assert app.wait_for_end(app.submit(lora="uKiYo-E"))["status"] == "COMPLETED"


def test_an_unknown_lora_names_the_nearest(app: AppClient) -> None:
    """The job fails once, with three names that exist, and is not tried again."""
    job = app.wait_for_end(app.submit(lora="Ukiyo"))

    assert (job["status"], job["error"]["code"], job["attempt"]) == ("FAILED", "lora_not_found", 1)
    assert "Ukiyo-e" in job["error"]["message"]
    assert job["error"]["message"].count(",") == 2


def test_a_refused_prompt_has_the_pages_own_words(app: AppClient) -> None:
    """Moderation is not a fault: the sentence is the site's, and what the page looked like is kept."""
    ident = app.submit(prompt="gore in a meadow")
    job = app.wait_for_end(ident)

    assert (
        job["status"],
        job["error"]["code"],
        job["attempt"],
        job["error"]["retryable"],
    ) == ("FAILED", "site_refused", 1, False)
    assert "gore" in job["error"]["message"]
    bundle = app.get(f"/api/v1/jobs/{ident}/failure").json
    assert bundle["screenshot"].startswith("data:image/jpeg;base64,")
    assert "gore" in bundle["dom"]
    assert bundle["url"].startswith("https://studio.darkroom.invalid")


def test_several_jobs_run_at_once_and_keep_apart(app: AppClient) -> None:
    """Each gets the picture of its own seed, whatever runs beside it."""
    alone = {seed: app.submit(seed=seed) for seed in range(4)}
    expected = {
        seed: (app.wait_for_end(ident), describe_image(app.client.get(f"/{ident}").data))[1]
        for seed, ident in alone.items()
    }
    together = [(seed, app.submit(seed=seed)) for seed in (0, 1, 2, 3, 3, 2, 1, 0)]

    for seed, ident in together:
        assert app.wait_for_end(ident)["status"] == "COMPLETED"
        assert expected[seed] == describe_image(app.client.get(f"/{ident}").data)


def test_a_running_job_is_cancelled(app: AppClient) -> None:
    """Its page is closed, its end says so, and there is no picture."""
    ident = app.submit(**SLOW)
    eventually(lambda: app.get_job(ident)["status"] == "PENDING")

    # 200 if it was faster than the answer.
    assert app.delete(f"/api/v1/jobs/{ident}").status_code in {200, 202}
    job = app.wait_for_end(ident)
    assert (job["status"], job["error"]["code"]) == ("FAILED", "cancelled")
    assert app.client.get(f"/{ident}.jpg").status_code == 404
    eventually(lambda: app.stores.workers.list_alive()[0].contexts == 0)


def test_search_finds_the_sites_styles(app: AppClient) -> None:
    """By the site's own search, with pictures that the API serves."""
    answer = app.get("/search-loras?query=print")
    names = [lora["name"] for lora in answer.json]

    assert (answer.status_code, answer.headers.get("X-Darkroom-Partial")) == (200, None)
    assert "Linocut" in names
    for lora in answer.json:
        assert {"name", "image", "tags", "description"} == set(lora)
        path = lora["image"].removeprefix(app.stores.settings.public_url)
        assert app.client.get(path, buffered=True).mimetype == "image/webp"
    assert app.get("/search-loras?query=xyzzy").json == []


def test_the_sites_own_quota_is_shown(app: AppClient) -> None:
    """As the page shows it."""
    assert app.get("/quota").json["site"] == {"name": "studio", "used": "0", "limit": "1500"}


def test_health_is_ok(app: AppClient) -> None:
    """With a worker that is ready, its browser and its slots."""
    assert app.client.get("/health").json == {"status": "OK"}
    workers = app.get("/health").json["workers"]
    assert (workers["ready"], workers["workers"][0]["slots"], bool(workers["workers"][0]["browser"])) == (1, 2, True)


def test_fast_polling_is_served(app: AppClient) -> None:
    """Clients of the original ask for health and status ten times a second each, and take no other answer than 200."""
    ident = app.submit(**SLOW)

    codes = [app.get(path).status_code for _ in range(50) for path in (f"/status/{ident}", "/health")]

    assert {200} == set(codes)
    app.delete(f"/api/v1/jobs/{ident}")


def test_pickup_and_run_times_are_measured(app: AppClient) -> None:
    """The histograms count every job."""
    app.wait_for_end(app.submit())
    text = app.get("/metrics").get_data(as_text=True)

    assert 'darkroom_jobs_ended_total{code="",site="studio",state="COMPLETED"}' in text
    for name in ("pickup", "run"):
        count = next(line for line in text.splitlines() if line.startswith(f"darkroom_job_{name}_seconds_count"))
        assert float(count.split()[-1]) >= 1


def test_the_log_binds_the_job_and_keeps_the_prompt_to_debug(deployment: Deployment) -> None:
    """Every line of an attempt carries job, attempt, site and request; the key is in none."""
    ident = deployment.app.submit(prompt="a very particular harbour")
    deployment.app.wait_for_end(ident)

    def lines() -> list[str]:
        return [line for line in deployment.log("worker").splitlines() if ident in line and '"job.' in line]

    eventually(lambda: any('"job.completed"' in line for line in lines()))
    for line in lines():
        assert {"job_id", "attempt", "site", "request_id"} <= set(json.loads(line)), line
        assert ("particular" in line) <= ('"debug"' in line)
    assert API_KEY not in deployment.log("worker")


def test_a_picture_expires_as_promised(base_settings: Settings) -> None:
    """After RESULT_TTL_S the status and the picture are 410, and the listing is empty."""
    with (
        tempfile.TemporaryDirectory(prefix="dr-") as folder,
        start_deployment(base_settings, Path(folder), result_ttl_s=1) as studio,
    ):
        front = studio.app
        ident = front.submit()
        seq = front.get_job(ident)["seq"]
        shown: dict[str, Any] = {"status": ""}
        while shown["status"] != "COMPLETED":
            shown = front.get(f"/api/v1/jobs/{ident}", query_string={"wait": 20, "since": seq}).json
            seq = shown["seq"]
        assert shown["expiresAt"] - shown["finishedAt"] == 1000

        eventually(lambda: front.get(f"/status/{ident}").status_code == 410)

        gone = front.get(f"/status/{ident}").json
        assert gone["status"] == "NOT_FOUND"
        assert "expired" in gone["error"]
        assert front.client.get(f"/{ident}.jpg").status_code == 410
        assert front.get(f"/api/v1/jobs/{ident}").status_code == 410
        assert front.get("/api/v1/jobs").json["jobs"] == []


def test_an_attempt_has_a_deadline(base_settings: Settings) -> None:
    """A job that takes too long ends with the setting's name and what the page looked like; its slot is free again."""
    with (
        tempfile.TemporaryDirectory(prefix="dr-") as folder,
        start_deployment(base_settings, Path(folder), job_deadline_s=2) as studio,
    ):
        front = studio.app
        ident = front.submit(**SLOW)
        job = front.wait_for_end(ident)

        assert (job["status"], job["error"]["code"], job["attempt"]) == ("FAILED", "deadline_exceeded", 1)
        assert "2 s" in job["error"]["message"]
        assert "studio" in front.get(f"/api/v1/jobs/{ident}/failure").json["dom"]
        eventually(lambda: front.stores.workers.list_alive()[0].contexts == 0)


def test_waiting_clients_hear_of_every_state(app: AppClient) -> None:
    """Ten clients that wait on one job all see its end."""
    ident = app.submit()
    ends: list[list[str]] = []
    clients = [threading.Thread(target=lambda: ends.append(states_seen(app, ident))) for _ in range(10)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert [seen[-1] for seen in ends] == ["COMPLETED"] * 10
