"""Repeated submissions, priorities, estimates and circuit breakers in the APIs."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from ops.infra.settings import ROOT
from schemas.errors import SiteUnavailable
from tests.conftest import API_KEY, TIMEOUT_S
from tests.integration.conftest import AppClient

PROMPT = "a lighthouse at dusk"


def open_circuit(app: AppClient) -> None:
    """Open the circuit breaker of the demo site by five failed attempts."""
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
    """The same idempotency key and body return the same job and say so; another body is rejected."""
    options = {"headers": {"Idempotency-Key": "k-1"}}
    first, again = (app.post(path, json=body, **options) for _ in range(2))
    name = "id" if "id" in first.json else "imageId"

    assert (first.status_code, first.json[name]) == (again.status_code, again.json[name])
    assert [response.headers.get("Idempotent-Replayed") for response in (first, again)] == [None, "true"]
    assert app.post(path, json=body | {"prompt": "another lighthouse"}, **options).status_code == 422
    assert app.post(path, json=body).json[name] != first.json[name]
    assert app.stores.redis.zcard("dr:open") == 2


def test_concurrent_submissions_with_one_key_make_one_job(app_url: str, app: AppClient) -> None:
    """One of them creates the job, and the others return it."""
    start = threading.Barrier(8)

    def submit(_: int) -> tuple[str, str | None]:
        start.wait(60)
        headers = {"x-api-key": API_KEY, "Idempotency-Key": "k-1"}
        response = httpx.post(
            f"{app_url}/api/v1/jobs", json={"prompt": PROMPT}, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )
        return response.json()["id"], response.headers.get("Idempotent-Replayed")

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(submit, range(8)))

    assert len({job_id for job_id, _ in responses}) == 1
    assert sorted(str(replayed) for _, replayed in responses) == ["None", *["true"] * 7]
    assert app.stores.redis.zcard("dr:open") == 1


def test_idempotency_keys_work_with_get(app: AppClient) -> None:
    """Clients of the Weights API submit with GET."""
    query = {"prompt": PROMPT, "seed": 7}
    responses = [
        app.get("/generateImage", query_string=query, headers={"Idempotency-Key": "k-1"}).json for _ in range(2)
    ]

    assert responses[0]["imageId"] == responses[1]["imageId"]


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "schlüssel"])
def test_an_invalid_idempotency_key_is_rejected(app: AppClient, key: str) -> None:
    """The message names the header, and no job is created."""
    response = app.post("/api/v1/jobs", json={"prompt": PROMPT}, headers={"Idempotency-Key": key})

    assert (response.status_code, "Idempotency-Key" in response.json["error"]["details"][0]) == (400, True)
    assert not app.stores.redis.zcard("dr:open")


@pytest.mark.parametrize("priority", [11, -11, "high", 1.5, None, [1]])
def test_an_invalid_priority_is_rejected(app: AppClient, priority: Any) -> None:
    """Both APIs name the field; in the Weights API null stands for a parameter that is not given."""
    for path in ("/api/v1/jobs",) if priority is None else ("/api/v1/jobs", "/generateImage"):
        response = app.post(path, json={"prompt": PROMPT, "priority": priority})
        assert response.status_code == 400
        assert "priority" in response.get_data(as_text=True)


def test_priority_orders_the_jobs_of_a_caller(app: AppClient) -> None:
    """The positions show it at once."""
    low = app.get("/generateImage", query_string={"prompt": PROMPT, "priority": "-1"}).json["imageId"]
    high = app.post("/api/v1/jobs", json={"prompt": PROMPT, "priority": 10}).json

    assert (high["priority"], high["position"]) == (10, 1)
    assert app.get(f"/status/{low}").json["position"] == 2


def test_cancel_all_cancels_the_jobs_of_the_caller(app: AppClient) -> None:
    """Waiting jobs end at once, running ones are asked to; a body is optional."""
    job_ids = [app.submit() for _ in range(3)]
    app.stores.attempts.claim("w")

    assert app.post("/api/v1/jobs/cancel").json == {"cancelled": 2, "requested": 1}
    assert app.post("/api/v1/jobs/cancel", json={}).json == {"cancelled": 0, "requested": 1}
    assert [app.get_job(job_id)["status"] for job_id in job_ids] == ["STARTING", "FAILED", "FAILED"]


def test_an_estimate_needs_a_known_run_time(app: AppClient) -> None:
    """``etaSeconds`` is null before a run time is known, and after the end."""
    job_id = app.submit()
    assert app.get(f"/status/{job_id}").json["etaSeconds"] is None
    app.stores.redis.hset("dr:site:studio", "runMs", 4000)
    app.stores.maintenance.publish_capacity(1)

    assert app.get(f"/status/{job_id}").json["etaSeconds"] == 4.0
    assert app.get_job(app.submit())["etaSeconds"] == 8.0
    app.delete(f"/api/v1/jobs/{job_id}")
    assert app.get(f"/status/{job_id}").json["etaSeconds"] is None


def test_an_open_circuit_breaker_is_visible(app: AppClient) -> None:
    """The status of waiting jobs, the sites and ``/health`` show it, with the site's own error."""
    open_circuit(app)
    job_id = app.submit()

    waiting = app.get(f"/status/{job_id}").json
    assert (waiting["status"], waiting["waitingFor"]["reason"]) == ("QUEUED", "circuit_open")
    assert "status 500" in waiting["waitingFor"]["message"]
    assert app.get_job(job_id)["waitingFor"] == waiting["waitingFor"]
    circuit = app.get("/api/v1/sites/studio").json["circuit"]
    assert (circuit["state"], circuit["code"], circuit["failures"]) == ("open", "site_unavailable", 5)
    assert circuit["retryAt"] == waiting["waitingFor"]["retryAt"]
    assert app.get("/health").json["sites"]["sites"]["studio"]["circuit"] == circuit


def test_closing_a_circuit_breaker_needs_the_admin_scope(app: AppClient) -> None:
    """Other keys get 403, unknown sites 404."""
    open_circuit(app)
    key = app.stores.api_keys.create("friend")
    path = "/api/v1/sites/studio/circuit/close"

    assert app.client.post(path, headers={"x-api-key": key}).status_code == 403
    assert app.post("/api/v1/sites/nowhere/circuit/close").status_code == 404
    assert app.post(path).json["circuit"] == {"state": "closed", "failures": 0}


def run_sites(app_url: str, *args: str, key: str = API_KEY) -> tuple[int, str]:
    """The exit code and output of ``darkroom sites``."""
    command = [sys.executable, "-m", "ops", "sites", *args, "--url", app_url, "--key", key]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_the_command_lists_and_closes_circuit_breakers(app_url: str, app: AppClient) -> None:
    """The output names the site and the error."""
    open_circuit(app)

    code, listed = run_sites(app_url, "list")
    assert (code, "studio" in listed, "status 500" in listed) == (0, True, True)
    code, closed = run_sites(app_url, "close", "studio")
    assert (code, closed.split()) == (0, ["studio", "closed"])
    assert "There is no site 'nowhere' here." in run_sites(app_url, "close", "nowhere")[1]
    code, output = run_sites(app_url, "list", key="wrong")
    assert (code, "API key" in output) == (1, True)
