"""The native API without a worker: submit, list, cancel, results, sites."""

from typing import Any

import pytest

from tests.integration.conftest import AppClient


def test_jobs_are_visible_to_their_owner_only(app: AppClient) -> None:
    """A job of another caller looks like a missing one on every route."""
    job_id = app.submit()
    bob = {"Authorization": f"Bearer {app.stores.api_keys.create('bob')}"}

    for path in ("", "/result", "/failure"):
        foreign = app.client.get(f"/api/v1/jobs/{job_id}{path}", headers=bob)
        missing = app.client.get(f"/api/v1/jobs/{'0' * 32}{path}", headers=bob)
        assert foreign.status_code == missing.status_code == 404
        assert foreign.json["error"] == missing.json["error"]
    assert app.client.delete(f"/api/v1/jobs/{job_id}", headers=bob).status_code == 404
    assert app.client.get("/api/v1/jobs", headers=bob).json["jobs"] == []
    assert [job_id] == [job["id"] for job in app.get("/api/v1/jobs").json["jobs"]]
    assert app.client.get("/quota", headers=bob).json["usage"]["QUEUED_IMAGE_JOBS"] == 0


def test_a_submission_returns_the_job(app: AppClient) -> None:
    """The status is 202, with Location and the job."""
    response = app.post("/api/v1/jobs", json={"prompt": "x", "lora": "Linocut", "inputs": {"negativePrompt": "fog"}})

    job = response.json
    assert (202, f"/api/v1/jobs/{job['id']}") == (response.status_code, response.headers["Location"])
    assert tuple(job[name] for name in ("status", "site", "lora", "inputs", "position")) == (
        "QUEUED",
        "studio",
        "Linocut",
        {"negativePrompt": "fog"},
        1,
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "prompt: Missing data for required field."),
        ({"prompt": ""}, "prompt: Length must be between 1 and 4000."),
        ({"prompt": "x", "colour": "red"}, "colour: Unknown field."),
        ({"prompt": "x", "inputs": {"seed": -1}}, "seed: "),
        ({"prompt": "x", "inputs": []}, "inputs: Not a valid mapping type."),
        ({"prompt": "x", "site": "nowhere"}, "site: there is no site 'nowhere' here."),
        ({"prompt": "\ud800"}, "prompt: "),
    ],
)
def test_an_invalid_submission_names_the_field(app: AppClient, body: dict[str, Any], message: str) -> None:
    """The status is 400, with a code, a hint and a message for each field."""
    response = app.post("/api/v1/jobs", json=body)

    error = response.json["error"]
    assert (response.status_code, error["code"], error["retryable"]) == (400, "invalid", False)
    assert message in error["details"][0]
    assert error["hint"]


def test_job_lists_are_paged(app: AppClient) -> None:
    """Cursors lead through all jobs once; an invalid one is rejected."""
    ids = [app.submit() for _ in range(5)]
    first = app.get("/api/v1/jobs?limit=3").json
    second = app.get("/api/v1/jobs", query_string={"limit": 3, "cursor": first["nextCursor"]}).json

    assert set(ids) == {job["id"] for job in first["jobs"] + second["jobs"]}
    assert second["nextCursor"] is None
    for query in ("cursor=!", "limit=0", "limit=101", "limit=x"):
        assert app.get(f"/api/v1/jobs?{query}").status_code == 400


def test_cancelling_twice_changes_nothing(app: AppClient) -> None:
    """A waiting job ends at once, and cancelling it again returns the same."""
    job_id = app.submit()
    first, second = app.delete(f"/api/v1/jobs/{job_id}"), app.delete(f"/api/v1/jobs/{job_id}")

    assert (first.status_code, first.json["status"], first.json["error"]["code"]) == (200, "FAILED", "cancelled")
    assert (200, first.json) == (second.status_code, second.json)
    assert app.delete("/api/v1/jobs/" + "0" * 32).status_code == 404


def test_a_missing_result_is_a_conflict(app: AppClient) -> None:
    """The message has the state of the job."""
    response = app.get(f"/api/v1/jobs/{app.submit()}/result")

    assert response.status_code == 409
    assert "QUEUED" in response.json["error"]["message"]


def test_a_body_of_another_type_is_rejected(app: AppClient) -> None:
    """The status is 415, and the message names the required type."""
    response = app.post("/api/v1/jobs", data="prompt=x", content_type="application/x-www-form-urlencoded")

    assert response.status_code == 415
    assert "application/json" in response.json["error"]["message"]


def test_sites_describe_their_inputs(app: AppClient) -> None:
    """Every input has its type, range and default."""
    sites = app.get("/api/v1/sites").json
    studio = app.get("/api/v1/sites/studio").json

    assert (sites["default"], [site["name"] for site in sites["sites"]]) == (
        "studio",
        ["automatic1111", "automatic1111_img2img", "comfyui", "fooocus", "gradio", "invokeai", "studio", "weights"],
    )
    assert tuple(studio["inputs"]["width"][name] for name in ("minimum", "maximum", "multipleOf", "default")) == (
        256,
        1024,
        8,
        512,
    )
    assert "procedural" in studio["title"]
    assert app.get("/api/v1/sites/nowhere").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        b'{"prompt": "x", "inputs": {"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
        b'{"prompt": "x", "inputs": {"seed": ' + b"9" * 5000 + b"}}",
        b'{"prompt": "\xff"}',
        b'{"prompt": "x", "inputs": {"seed": NaN}}',
        b'{"prompt": "x", "inputs": {"seed": Infinity}}',
        b'{"prompt": "x", "inputs": {"seed": 1.5}}',
        b"null",
        b"",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/generateImage"])
def test_malformed_bodies_are_a_400(app: AppClient, path: str, body: bytes) -> None:
    """Broken, deep, huge or odd JSON gets 400 in both APIs."""
    if path == "/generateImage":
        body = (
            body.replace(b'"x", "inputs": {', b'"a lighthouse at dusk", ').removesuffix(b"}")
            if b"inputs" in body
            else body
        )
    response = app.post(path, data=body, content_type="application/json")

    assert (response.status_code, response.mimetype) == (400, "application/json"), response.get_data(as_text=True)[:300]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"prompt": "x",}', "line 1 column"),
        (b'{"prompt": "\xff"}', "byte 0xff"),
        (b"[" * 100_000, "nested too deeply"),
        (b"<prompt>x</prompt>", "Expecting value"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/generateImage", "/v1/consumer/gen", "/api/v1/webhooks"])
def test_invalid_json_is_located(app: AppClient, path: str, body: bytes, message: str) -> None:
    """The message says what is wrong and where, in every API."""
    response = app.post(path, data=body, content_type="application/json")

    text = response.get_data(as_text=True)
    assert (response.status_code, message in text) == (400, True), text
    assert "The body is not valid JSON in UTF-8" in text
