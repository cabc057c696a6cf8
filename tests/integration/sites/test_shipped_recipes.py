"""Sites of other programs under a whole Darkroom: over HTTP, with terms, logins, canaries and pages that change."""

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
from tests.support.programs.painting import is_image_of
from tests.support.programs.weights import SIGNED_IN

CANARY = '[canary]\nevery_s = 60\nprompt = "a canary"\n\n[consent]'


@pytest.fixture(scope="module")
def whole(base_settings: Settings, programs: str) -> Iterator[Deployment]:
    """A Darkroom that knows the test programs, and recipes of the user's own."""
    with tempfile.TemporaryDirectory(prefix="dr-") as name, serve_fake_site() as busy:
        folder = Path(name)
        recipes = folder / "recipes"
        recipes.mkdir()
        gradio = (SHIPPED_RECIPES / "gradio.toml").read_text()
        (recipes / "watched.toml").write_text(gradio.replace("[consent]", CANARY))
        (recipes / "changed.toml").write_text(gradio.replace("aria/Prompt", "#prompt-box").replace("60000", "1500"))
        (recipes / "busy.toml").write_text(gradio)
        (recipes / "down.toml").write_text(gradio)
        urls = {name: f"{programs}/{name}/" for name in ("gradio", "weights")}
        urls |= dict.fromkeys(("watched", "changed"), f"{programs}/gradio/") | {
            "busy": f"{busy}/busy",
            "down": f"{busy}/broken",
        }
        with start_deployment(base_settings, folder, recipes_dir=recipes, site_urls=urls) as studio:
            yield studio


def run_job(whole: Deployment, site: str, **more: Any) -> dict[str, Any]:
    """A job of a site once it has ended."""
    answer = whole.app.post("/api/v1/jobs", json={"site": site, "prompt": PROMPT, **more})
    assert answer.status_code == 202, answer.get_data(as_text=True)
    return whole.app.wait_for_end(answer.json["id"])


def run_command(whole: Deployment, *words: str) -> str:
    """What a command of Darkroom prints, on the same data."""
    line = [sys.executable, "-m", "ops", *words]
    done = subprocess.run(
        line, cwd=ROOT, env=whole.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def fetch_image(whole: Deployment, path: str) -> Image.Image:
    """The picture at a path of the API."""
    answer = whole.app.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return Image.open(io.BytesIO(answer.data))


def test_all_pictures_of_a_job_can_be_fetched(whole: Deployment) -> None:
    """Each under its number; the first under the job's own addresses too."""
    job = run_job(whole, "gradio", inputs={"seed": 1, "steps": 5})

    assert job["status"] == "COMPLETED", job
    words = f"{PROMPT}||1|5|Euler"
    urls = [result["url"].partition("/api")[1:] for result in job["results"]]
    assert [True, True] == [
        is_image_of(fetch_image(whole, "".join(url)), words, number) for number, url in enumerate(urls)
    ]
    assert is_image_of(fetch_image(whole, f"/{job['id']}/2"), words, 1)
    assert is_image_of(fetch_image(whole, f"/{job['id']}.jpg"), words, 0)
    assert job["result"] == job["results"][0]
    assert whole.app.get(f"/api/v1/jobs/{job['id']}/results/3").status_code == 404
    assert whole.app.get(f"/api/v1/jobs/{job['id']}/results/0").status_code == 404


def test_generate_writes_every_picture(whole: Deployment, tmp_path: Path) -> None:
    """The first where it was asked for, the others beside it."""
    with serve_app(whole.app.client.application) as url:
        words = ("generate", PROMPT, "--site", "gradio", "--url", url, "--key", API_KEY, "-o", str(tmp_path / "it.jpg"))
        printed = run_command(whole, *words)

    assert ["it-2.png", "it.jpg"] == sorted(path.name for path in tmp_path.iterdir())
    assert str(tmp_path / "it-2.png") in printed
    with Image.open(tmp_path / "it-2.png") as image:
        assert is_image_of(image, f"{PROMPT}||0|20|Euler", 1)


def test_a_site_says_what_its_page_offers(whole: Deployment) -> None:
    """The choices that stand on the page, what the recipe was tested with, and whose page it is."""

    def offered() -> Any:
        return whole.app.get("/api/v1/sites/gradio").json["inputs"]["sampler"].get("enum")

    # An answer that takes longer than its asker waits is there for the next.
    assert SAMPLERS == eventually(offered)
    shown = whole.app.get("/api/v1/sites/gradio").json
    assert shown["tested"]["real"]
    assert {"ownership": "own", "termsUrl": None, "given": True} == shown["consent"]


def test_terms_login_and_the_page_of_somebody_else(whole: Deployment, tmp_path: Path) -> None:
    """Nothing runs before its terms are accepted, and nobody is asked again; then a login, kept as a secret."""
    refused = whole.app.post("/api/v1/jobs", json={"site": "weights", "prompt": PROMPT})
    assert refused.status_code == 403
    assert "./darkroom sites accept weights" in refused.json["error"]["message"]
    assert whole.app.get("/search-loras?query=ink&site=weights").status_code == 403

    assert "Accepted" in run_command(whole, "sites", "accept", "weights", "--yes")
    asked = run_job(whole, "weights")
    assert asked["error"]["code"] == "needs_human"
    assert whole.app.get("/api/v1/sites/weights").json["circuit"]["state"] == "open"

    state = tmp_path / "state.json"
    state.write_text(json.dumps(signed_in_state("http://127.0.0.1")))
    run_command(whole, "sites", "login", "weights", "--state", str(state))
    whole.app.post("/api/v1/sites/weights/circuit/close")
    job = run_job(whole, "weights", lora="Ink Wash")
    assert job["status"] == "COMPLETED", job
    assert is_image_of(fetch_image(whole, f"/{job['id']}"), f"{PROMPT}|Ink Wash")
    _assert_credentials_not_leaked(whole)

    assert "Forgotten" in run_command(whole, "sites", "forget", "weights")
    assert run_job(whole, "weights")["error"]["code"] == "needs_human"


def _assert_credentials_not_leaked(whole: Deployment) -> None:
    redis = whole.app.stores.redis
    assert SIGNED_IN not in whole.log("worker")
    assert not [key for key in redis.scan_iter() if redis.type(key) == b"hash" and SIGNED_IN in str(redis.hgetall(key))]
    database = Path(whole.environment["DATABASE_URL"].removeprefix("sqlite:///"))
    written = b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))
    assert SIGNED_IN.encode() not in written
    assert (database.parent / "session-key").stat().st_mode & 0o777 == 0o600


def test_a_page_that_has_changed_explains_itself(whole: Deployment) -> None:
    """The failure names the step, what was tried, and what on the page is most like it."""
    job = run_job(whole, "changed")

    assert job["error"]["code"] == "site_changed"
    assert "steps[1]" in job["error"]["message"]
    bundle = whole.app.get(f"/api/v1/jobs/{job['id']}/failure").json["explanation"]
    assert bundle["selectors"][0] == "#prompt-box"
    assert "aria/Prompt" in [one["selector"] for one in bundle["similar"]]


def test_check_tells_drift_from_the_last_good_run(whole: Deployment, tmp_path: Path) -> None:
    """With an exit code of its own: the page still works, and somebody should look."""
    run_job(whole, "gradio", inputs={"steps": 3})
    line = [sys.executable, "-m", "ops", "sites", "check", "gradio", "-o", str(tmp_path / "seen.png")]
    environment = {**whole.environment, "COLUMNS": "200"}
    codes = []
    for found in ("aria/Submit", "aria/Generate"):
        whole.app.stores.selector_drift.record("gradio", {"aria/Generate": found})
        done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False)
        codes.append((done.returncode, b"drift, was: aria/Generate" in done.stdout))

    assert [(0, False), (3, True)] == codes
    assert whole.app.get("/api/v1/sites/gradio").json["drift"][0]["now"] == "aria/Generate"


def test_a_further_attempt_that_fails_leaves_a_trace(whole: Deployment) -> None:
    """For Playwright's viewer; a job that failed at once, or went well, has none."""
    job = run_job(whole, "down")

    assert (job["error"]["code"], job["attempt"]) == ("site_unavailable", 3)
    trace = whole.app.get(f"/api/v1/jobs/{job['id']}/trace")
    assert trace.mimetype == "application/zip"
    with zipfile.ZipFile(io.BytesIO(trace.data)) as recorded:
        assert any(name.endswith(".trace") for name in recorded.namelist())
    assert whole.app.get(f"/api/v1/jobs/{run_job(whole, 'changed')['id']}/trace").status_code == 404


def test_a_canary_is_sent_and_its_end_is_told(whole: Deployment) -> None:
    """In health, in the metrics and at the site; its page was found by these alternatives."""

    def outcome() -> Any:
        return whole.app.get("/health").json["sites"]["sites"]["watched"]["canary"]

    assert eventually(outcome)["ok"]
    assert 'darkroom_canary_ok{site="watched"} 1.0' in whole.app.get("/metrics").get_data(as_text=True)
    shown = whole.app.get("/api/v1/sites/watched").json
    assert shown["canary"]["ok"]
    assert shown["matched"]["aria/Generate"] == "aria/Submit"


def test_a_site_that_is_busy_is_left_alone_by_all(whole: Deployment) -> None:
    """The job waits; no worker starts another one of that site before the time it named."""
    job_id = whole.app.post("/api/v1/jobs", json={"site": "busy", "prompt": PROMPT}).json["id"]
    stores = whole.app.stores

    def paused_until() -> int:
        return int(stores.redis.hget("dr:site:busy", "nextAt") or 0)

    eventually(lambda: paused_until() > stores.clock.now_ms() + 5_000)
    eventually(lambda: whole.app.get_job(job_id)["status"] == "QUEUED")
    whole.app.delete(f"/api/v1/jobs/{job_id}")
