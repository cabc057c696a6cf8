"""Recipes of other programs in a complete deployment: jobs, terms, credentials, canaries, drift, pauses."""

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ops.infra.settings import ROOT, SHIPPED_RECIPES, Settings
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import Deployment, serve_app, start_deployment
from tests.integration.sites.test_programs import PROMPT, signed_in_state
from tests.support.fake_site import serve_fake_site
from tests.support.programs.gradio_pages import SAMPLERS
from tests.support.programs.rendering import is_image_of
from tests.support.programs.weights import SIGNED_IN

CANARY = '[canary]\nevery_s = 60\nprompt = "a canary"\n\n[consent]'

WAIT = '[[steps]]\ntype = "waitForElement"\n'
# On a busy machine the page shows its fields late.
MOUNTED = f'{WAIT}selectors = ["aria/Prompt"]\ntimeout = 60000\n\n'


@pytest.fixture(scope="module")
def deployment(base_settings: Settings, programs: str) -> Iterator[Deployment]:
    """Run a deployment with the test programs as sites, and with recipes of the user."""
    with tempfile.TemporaryDirectory(prefix="dr-") as name, serve_fake_site() as busy:
        folder = Path(name)
        recipes = folder / "recipes"
        recipes.mkdir()
        gradio = (SHIPPED_RECIPES / "gradio.toml").read_text()
        (recipes / "watched.toml").write_text(gradio.replace("[consent]", CANARY))
        before, wait, after = gradio.partition(WAIT)
        changed = (wait + after).replace("aria/Prompt", "#prompt-box").replace("60000", "1500")
        (recipes / "changed.toml").write_text(f"{before}{MOUNTED}{changed}")
        (recipes / "busy.toml").write_text(gradio)
        (recipes / "down.toml").write_text(gradio)
        urls = {name: f"{programs}/{name}/" for name in ("gradio", "weights")}
        urls |= dict.fromkeys(("watched", "changed"), f"{programs}/gradio/") | {
            "busy": f"{busy}/busy",
            "down": f"{busy}/broken",
        }
        with start_deployment(base_settings, folder, recipes_dir=recipes, site_urls=urls) as started:
            yield started


def run_job(deployment: Deployment, site: str, **fields: Any) -> dict[str, Any]:
    """Run a job of a site to its end."""
    response = deployment.app.post("/api/v1/jobs", json={"site": site, "prompt": PROMPT, **fields})
    assert response.status_code == 202, response.get_data(as_text=True)
    return deployment.app.wait_for_end(response.json["id"])


def run_command(deployment: Deployment, *args: str) -> str:
    """Run ``darkroom ARGS`` on the deployment's data; returns its output."""
    command = [sys.executable, "-m", "ops", *args]
    process = subprocess.run(
        command, cwd=ROOT, env=deployment.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def fetch_image(deployment: Deployment, path: str) -> Image.Image:
    """Fetch an image from the API."""
    response = deployment.app.get(path)
    assert response.status_code == 200, response.get_data(as_text=True)
    return Image.open(io.BytesIO(response.data))


def test_all_images_of_a_job_can_be_fetched(deployment: Deployment) -> None:
    """Each has a number, and the first is also at the URLs of the job."""
    job = run_job(deployment, "gradio", inputs={"seed": 1, "steps": 5})

    assert job["status"] == "COMPLETED", job
    text = f"{PROMPT}||1|5|Euler"
    urls = [result["url"].partition("/api")[1:] for result in job["results"]]
    assert [True, True] == [
        is_image_of(fetch_image(deployment, "".join(url)), text, number) for number, url in enumerate(urls)
    ]
    assert is_image_of(fetch_image(deployment, f"/{job['id']}/2"), text, 1)
    assert is_image_of(fetch_image(deployment, f"/{job['id']}.jpg"), text, 0)
    assert job["result"] == job["results"][0]
    assert deployment.app.get(f"/api/v1/jobs/{job['id']}/results/3").status_code == 404
    assert deployment.app.get(f"/api/v1/jobs/{job['id']}/results/0").status_code == 404


def test_generate_writes_every_image(deployment: Deployment, tmp_path: Path) -> None:
    """The first is written to the given path, the others next to it."""
    with serve_app(deployment.app.client.application) as url:
        args = ("generate", PROMPT, "--site", "gradio", "--url", url, "--key", API_KEY, "-o", str(tmp_path / "it.jpg"))
        printed = run_command(deployment, *args)

    assert ["it-2.png", "it.jpg"] == sorted(path.name for path in tmp_path.iterdir())
    assert str(tmp_path / "it-2.png") in printed
    with Image.open(tmp_path / "it-2.png") as image:
        assert is_image_of(image, f"{PROMPT}||0|20|Euler", 1)


def test_a_site_lists_the_choices_of_its_page(deployment: Deployment) -> None:
    """It also says what the recipe was tested with, and whether its terms are accepted."""

    def sampler_choices() -> Any:
        return deployment.app.get("/api/v1/sites/gradio").json["inputs"]["sampler"].get("enum")

    # If the query takes longer than the request waits, a later request gets the answer.
    assert SAMPLERS == eventually(sampler_choices)
    site = deployment.app.get("/api/v1/sites/gradio").json
    assert site["tested"]["real"]
    assert [program["standIn"] for program in site["tested"]["programs"]] == [None]
    assert site["tested"]["summary"] == f"Gradio {', '.join(site['tested']['programs'][0]['versions'])}"
    assert {"ownership": "own", "termsUrl": None, "given": True} == site["consent"]


def test_terms_and_credentials_of_a_third_party_site(deployment: Deployment, tmp_path: Path) -> None:
    """Jobs are refused until the terms are accepted; then credentials are required, and stored encrypted."""
    response = deployment.app.post("/api/v1/jobs", json={"site": "weights", "prompt": PROMPT})
    assert response.status_code == 403
    assert "./darkroom sites accept weights" in response.json["error"]["message"]
    assert deployment.app.get("/search-loras?query=ink&site=weights").status_code == 403

    assert "Accepted" in run_command(deployment, "sites", "accept", "weights", "--yes")
    job = run_job(deployment, "weights")
    assert job["error"]["code"] == "needs_human"
    assert deployment.app.get("/api/v1/sites/weights").json["circuit"]["state"] == "open"

    state = tmp_path / "state.json"
    state.write_text(json.dumps(signed_in_state("http://127.0.0.1")))
    run_command(deployment, "sites", "login", "weights", "--state", str(state))
    deployment.app.post("/api/v1/sites/weights/circuit/close")
    job = run_job(deployment, "weights", lora="Ink Wash")
    assert job["status"] == "COMPLETED", job
    assert is_image_of(fetch_image(deployment, f"/{job['id']}"), f"{PROMPT}|Ink Wash")
    _assert_credentials_not_leaked(deployment)

    assert "Forgotten" in run_command(deployment, "sites", "forget", "weights")
    assert run_job(deployment, "weights")["error"]["code"] == "needs_human"


def _assert_credentials_not_leaked(deployment: Deployment) -> None:
    redis = deployment.app.stores.redis
    assert SIGNED_IN not in deployment.log("worker")
    assert not [key for key in redis.scan_iter() if redis.type(key) == b"hash" and SIGNED_IN in str(redis.hgetall(key))]
    database = Path(deployment.environment["DATABASE_URL"].removeprefix("sqlite:///"))
    database_bytes = b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))
    assert SIGNED_IN.encode() not in database_bytes
    assert (database.parent / "session-key").stat().st_mode & 0o777 == 0o600


def test_a_changed_page_yields_an_explanation(deployment: Deployment) -> None:
    """The failure names the step, the selectors tried and the most similar elements."""
    job = run_job(deployment, "changed")

    assert job["error"]["code"] == "site_changed"
    assert "steps[2]" in job["error"]["message"]
    explanation = deployment.app.get(f"/api/v1/jobs/{job['id']}/failure").json["explanation"]
    assert explanation["selectors"][0] == "#prompt-box"
    assert "aria/Prompt" in [element["selector"] for element in explanation["similar"]]


def test_check_reports_drift_since_the_last_good_run(deployment: Deployment, tmp_path: Path) -> None:
    """The exit code is 3, because the page still works."""
    run_job(deployment, "gradio", inputs={"steps": 3})
    command = [sys.executable, "-m", "ops", "sites", "check", "gradio", "-o", str(tmp_path / "seen.png")]
    environment = {**deployment.environment, "COLUMNS": "200"}
    codes = []
    for matched in ("aria/Submit", "aria/Generate"):
        deployment.app.stores.selector_drift.record("gradio", {"aria/Generate": matched})
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False)
        codes.append((process.returncode, b"drift, was: aria/Generate" in process.stdout))

    assert [(0, False), (3, True)] == codes
    assert deployment.app.get("/api/v1/sites/gradio").json["drift"][0]["now"] == "aria/Generate"


def test_a_failed_retry_leaves_a_trace(deployment: Deployment) -> None:
    """It is a zip for Playwright's viewer; a job that failed in its first attempt has none."""
    job = run_job(deployment, "down")

    assert (job["error"]["code"], job["attempt"]) == ("site_unavailable", 3)
    trace = deployment.app.get(f"/api/v1/jobs/{job['id']}/trace")
    assert trace.mimetype == "application/zip"
    with zipfile.ZipFile(io.BytesIO(trace.data)) as recorded:
        assert any(name.endswith(".trace") for name in recorded.namelist())
    assert deployment.app.get(f"/api/v1/jobs/{run_job(deployment, 'changed')['id']}/trace").status_code == 404


def test_the_outcome_of_a_canary_is_reported(deployment: Deployment) -> None:
    """The health view, the metrics and the site show it; the site also lists the matching selectors."""

    def outcome() -> Any:
        return deployment.app.get("/health").json["sites"]["sites"]["watched"]["canary"]

    assert eventually(outcome)["ok"]
    assert 'darkroom_canary_ok{site="watched"} 1.0' in deployment.app.get("/metrics").get_data(as_text=True)
    site = deployment.app.get("/api/v1/sites/watched").json
    assert site["canary"]["ok"]
    assert site["matched"]["aria/Generate"] == "aria/Submit"


def test_a_busy_site_is_paused_for_all_workers(deployment: Deployment) -> None:
    """The job is queued again, and no worker starts a job of the site before the requested time."""
    job_id = deployment.app.post("/api/v1/jobs", json={"site": "busy", "prompt": PROMPT}).json["id"]
    stores = deployment.app.stores

    def paused_until() -> int:
        return int(stores.redis.hget("dr:site:busy", "nextAt") or 0)

    eventually(lambda: paused_until() > stores.clock.now_ms() + 5_000)
    eventually(lambda: deployment.app.get_job(job_id)["status"] == "QUEUED")
    deployment.app.delete(f"/api/v1/jobs/{job_id}")
