"""What the surfaces say about repeated submissions, priorities, estimates and circuits."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from ops.infra.settings import ROOT
from schemas.errors import SiteUnavailable
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient

PROMPT = "a lighthouse at dusk"


def broken(app: AppClient) -> None:
    """Five attempts that blame the site."""
    for _ in range(5):
        app.submit()
        job = app.stores.attempts.claim("w")
        assert job
        app.stores.attempts.fail(job, SiteUnavailable("studio answers with status 500."))


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/v1/jobs", {"prompt": PROMPT, "inputs": {"seed": 7}}), ("/generateImage", {"prompt": PROMPT, "seed": 7})],
)
def test_a_repeated_submission_makes_one_job(app: AppClient, path: str, body: dict[str, Any]) -> None:
    """The same key and body give the same job and say so; another body is refused; without a key all are new."""
    once = {"headers": {"Idempotency-Key": "k-1"}}
    first, again = (app.post(path, json=body, **once) for _ in range(2))
    name = "id" if "id" in first.json else "imageId"

    assert (first.status_code, first.json[name]) == (again.status_code, again.json[name])
    assert [one.headers.get("Idempotent-Replayed") for one in (first, again)] == [None, "true"]
    assert app.post(path, json=body | {"prompt": "another lighthouse"}, **once).status_code == 422
    assert app.post(path, json=body).json[name] != first.json[name]
    assert app.stores.redis.zcard("dr:open") == 2


def test_requests_at_the_same_instant_make_one_job(app_url: str, app: AppClient) -> None:
    """Whoever comes first makes it; the others get the same."""
    start = threading.Barrier(8)

    def ask(_: int) -> tuple[str, str | None]:
        start.wait(10)
        headers = {"x-api-key": API_KEY, "Idempotency-Key": "k-1"}
        answer = httpx.post(f"{app_url}/api/v1/jobs", json={"prompt": PROMPT}, headers=headers, trust_env=False)
        return answer.json()["id"], answer.headers.get("Idempotent-Replayed")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))

    assert len({ident for ident, _ in answers}) == 1
    assert sorted(str(replayed) for _, replayed in answers) == ["None", *["true"] * 7]
    assert app.stores.redis.zcard("dr:open") == 1


def test_a_get_is_repeated_like_a_post(app: AppClient) -> None:
    """The original's clients submit with GET."""
    query = {"prompt": PROMPT, "seed": 7}
    answers = [app.get("/generateImage", query_string=query, headers={"Idempotency-Key": "k-1"}).json for _ in range(2)]

    assert answers[0]["imageId"] == answers[1]["imageId"]


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "schlüssel"])
def test_a_key_of_another_shape_is_refused(app: AppClient, key: str) -> None:
    """Nothing is accepted that could not be recognised again."""
    answer = app.post("/api/v1/jobs", json={"prompt": PROMPT}, headers={"Idempotency-Key": key})

    assert (answer.status_code, "Idempotency-Key" in answer.json["error"]["details"][0]) == (400, True)
    assert not app.stores.redis.zcard("dr:open")


@pytest.mark.parametrize("priority", [11, -11, "high", 1.5, None, [1]])
def test_a_priority_of_another_kind_is_refused(app: AppClient, priority: Any) -> None:
    """On both surfaces, with its name."""
    for path in ("/api/v1/jobs", "/generateImage"):
        answer = app.post(path, json={"prompt": PROMPT, "priority": priority})
        assert answer.status_code == 400
        assert "priority" in answer.get_data(as_text=True)


def test_priority_decides_among_ones_own(app: AppClient) -> None:
    """Positions show it at once."""
    low = app.get("/generateImage", query_string={"prompt": PROMPT, "priority": "-1"}).json["imageId"]
    high = app.post("/api/v1/jobs", json={"prompt": PROMPT, "priority": 10}).json

    assert (high["priority"], high["position"]) == (10, 1)
    assert app.get(f"/status/{low}").json["position"] == 2


def test_everything_of_ones_own_is_cancelled(app: AppClient) -> None:
    """With or without a body."""
    idents = [app.submit() for _ in range(3)]
    app.stores.attempts.claim("w")

    assert app.post("/api/v1/jobs/cancel").json == {"cancelled": 2, "requested": 1}
    assert app.post("/api/v1/jobs/cancel", json={}).json == {"cancelled": 0, "requested": 1}
    assert [app.get_job(ident)["status"] for ident in idents] == ["STARTING", "FAILED", "FAILED"]


def test_an_estimate_is_given_once_a_run_time_is_known(app: AppClient) -> None:
    """Null before that, and after the end."""
    ident = app.submit()
    assert app.get(f"/status/{ident}").json["etaSeconds"] is None
    app.stores.redis.hset("dr:site:studio", "runMs", 4000)
    app.stores.maintenance.publish_capacity(1)

    assert app.get(f"/status/{ident}").json["etaSeconds"] == 4.0
    assert app.get_job(app.submit())["etaSeconds"] == 8.0
    app.delete(f"/api/v1/jobs/{ident}")
    assert app.get(f"/status/{ident}").json["etaSeconds"] is None


def test_an_open_circuit_is_visible_everywhere(app: AppClient) -> None:
    """In the status of a job that waits for it, in the sites and in /health; the reason is the site's own."""
    broken(app)
    ident = app.submit()

    waiting = app.get(f"/status/{ident}").json
    assert (waiting["status"], waiting["waitingFor"]["reason"]) == ("QUEUED", "circuit_open")
    assert "status 500" in waiting["waitingFor"]["message"]
    assert app.get_job(ident)["waitingFor"] == waiting["waitingFor"]
    circuit = app.get("/api/v1/sites/studio").json["circuit"]
    assert (circuit["state"], circuit["code"], circuit["failures"]) == ("open", "site_unavailable", 5)
    assert circuit["retryAt"] == waiting["waitingFor"]["retryAt"]
    assert app.get("/health").json["sites"]["sites"]["studio"]["circuit"] == circuit


def test_only_the_owner_closes_a_circuit(app: AppClient) -> None:
    """And only of a site that there is."""
    broken(app)
    key = app.stores.api_keys.create("friend")
    path = "/api/v1/sites/studio/circuit/close"

    assert app.client.post(path, headers={"x-api-key": key}).status_code == 403
    assert app.post("/api/v1/sites/nowhere/circuit/close").status_code == 404
    assert app.post(path).json["circuit"] == {"state": "closed", "failures": 0}


def run_sites(app_url: str, *words: str, key: str = API_KEY) -> tuple[int, str]:
    """Exit code and output of ``darkroom sites``."""
    command = [sys.executable, "-m", "ops", "sites", *words, "--url", app_url, "--key", key]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_command_shows_and_closes_circuits(app_url: str, app: AppClient) -> None:
    """What it prints names the site, the reason and the time."""
    broken(app)

    code, shown = run_sites(app_url, "list")
    assert (code, "studio" in shown, "status 500" in shown) == (0, True, True)
    code, closed = run_sites(app_url, "close", "studio")
    assert (code, closed.split()) == (0, ["studio", "closed"])
    assert "There is no site 'nowhere' here." in run_sites(app_url, "close", "nowhere")[1]
    code, refused = run_sites(app_url, "list", key="wrong")
    assert (code, "API key" in refused) == (1, True)
