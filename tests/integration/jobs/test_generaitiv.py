"""The generaitiv API as its existing clients use it."""

from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import API_KEY
from tests.integration.conftest import AppClient, close_app, open_app
from tests.unit.jobs.test_generaitiv_requests import RAW_INPUTS

BODY = {"input": RAW_INPUTS, "model": "stability-ai-sdxl"}


def call(app: AppClient, method: str, path: str, authorization: str | None = API_KEY, **kwargs: Any) -> Any:
    """Send a request as clients do: the bare key, and a content type with a capital letter."""
    headers = {"Content-Type": "Application/json"} | ({"Authorization": authorization} if authorization else {})
    return app.client.open(path, method=method, headers=headers | kwargs.pop("headers", {}), **kwargs)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("authorization", [API_KEY, f"Bearer {API_KEY}", f"bearer  {API_KEY} "])
def test_a_generation_is_a_job(app: AppClient, slash: str, authorization: str) -> None:
    """The example of the public documentation works, and every API shows the job."""
    response = call(app, "POST", f"/v1/consumer/gen{slash}", authorization, json=BODY)

    assert response.status_code == 200
    result = response.json
    assert result["id"] == result["workload_id"]
    assert "message" not in result
    job = app.get_job(result["id"].removeprefix("0x"))
    assert (job["prompt"], job["site"], job["inputs"]["steps"], job["inputs"]["width"]) == (
        "Example",
        "studio",
        50,
        1024,
    )
    assert any("prompt_strength" in warning for warning in result["warnings"])
    assert any("stability-ai-sdxl" in warning for warning in result["warnings"])
    assert result["ws_url"].endswith(f"/v1/ws?id={result['id']}&jwt={result['jwt']}")


def test_unsupported_inputs_are_dropped_with_a_warning(app: AppClient) -> None:
    """Each dropped input has a warning."""
    body = {"input": {"prompt": "a harbour", "lora": "x", "lora_name": "y"}, "model": "gradio"}

    result = call(app, "POST", "/v1/consumer/gen?dry_run=1", json=body).json

    assert ["lora", "lora_name"] == sorted(warning.partition(":")[0] for warning in result["warnings"])


def test_a_workload_is_visible_to_its_owner_only(app: AppClient) -> None:
    """A running one has a watch token; none has ``message``, which would mean an error."""
    job_id = call(app, "POST", "/v1/consumer/gen", json=BODY).json["id"]

    running = call(app, "GET", f"/v1/workload/{job_id}/").json
    assert (running["id"], running["status"], running["model"]) == (job_id, "QUEUED", "studio")
    assert app.stores.watch_tokens.verify(running["jwt"], job_id.removeprefix("0x"))
    app.delete(f"/api/v1/jobs/{job_id.removeprefix('0x')}")
    ended = call(app, "GET", f"/v1/workload/{job_id}").json
    assert (ended["status"], ended["error_code"]) == ("FAILED", "cancelled")
    assert "message" not in ended
    other = app.stores.api_keys.create("bob")
    assert call(app, "GET", f"/v1/workload/{job_id}", other).status_code == 404


def test_a_dry_run_creates_no_job(app: AppClient) -> None:
    """It returns the cost, the position and what would block."""
    call(app, "POST", "/v1/consumer/gen", json=BODY)

    result = call(app, "POST", "/v1/consumer/gen?dry_run=1", json=BODY).json

    assert (result["dry_run"], result["cost"], result["position"], result["blocked_by"]) == (True, 1, 2, None)
    assert result["warnings"]
    assert len(app.get("/api/v1/jobs").json["jobs"]) == 1


def test_a_dry_run_names_the_limit(app: AppClient) -> None:
    """The limit is the one that rejects the generation."""
    limited_app = open_app(replace(app.stores.settings, limit_queued_images=1))
    try:
        call(limited_app, "POST", "/v1/consumer/gen", json=BODY)
        result = call(limited_app, "POST", "/v1/consumer/gen?dry_run=true", json=BODY).json
        assert "LIMIT_QUEUED_IMAGES" in result["blocked_by"]["limit"]
        assert call(limited_app, "POST", "/v1/consumer/gen", json=BODY).json["message"] == result["blocked_by"]["limit"]
    finally:
        close_app(limited_app)


def test_each_key_has_a_wallet_address(app: AppClient) -> None:
    """It is the same each time and has the EIP-55 checksum."""
    bob = app.stores.api_keys.create("bob")
    own = [call(app, "GET", f"/v1/consumer/user-info{slash}").json["address"] for slash in ("", "/")]
    other = call(app, "GET", "/v1/consumer/user-info/", bob).json["address"]

    assert own[0] == own[1] != other
    assert len(own[0]) == 42
    assert own[0] != own[0].lower()


@pytest.mark.parametrize("path", ["/v1/training/owned-by/me", "/v1/training/owned-by-me", "/v1/training/owned-by-me/"])
def test_trainings_are_empty_without_a_library(app: AppClient, path: str) -> None:
    """The list is empty, and the body of a GET request is ignored."""
    response = call(app, "GET", path, data="not json")

    assert (response.status_code, response.json) == (200, [])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/v1/consumer/gen", None, 400, "JSON object"),
        ("POST", "/v1/consumer/gen", [], 400, "JSON object"),
        ("POST", "/v1/consumer/gen", {}, 400, "input"),
        ("POST", "/v1/consumer/gen", {"input": "a harbour"}, 400, "input"),
        ("POST", "/v1/consumer/gen", {"input": {"prompt": 7}}, 400, "prompt"),
        ("POST", "/v1/consumer/gen", {"input": {"prompt": "x" * 4001}}, 400, "4000"),
        ("POST", "/v1/consumer/gen", {**BODY, "webhook": "https://example.com/"}, 400, "webhook"),
        ("GET", "/v1/consumer/gen", None, 405, "method"),
        ("GET", "/v1/workload/undefined", None, 404, "workload"),
        ("GET", "/v1/workload/0x" + "0" * 32, None, 404, "job"),
        ("GET", "/v1/nowhere/", None, 404, "URL"),
        ("GET", "/v1", None, 404, "URL"),
        ("GET", "/v1/", None, 404, "URL"),
        ("POST", "/v1/workload/ai/new/?type=IMAGE_GENERATION_PROMPT", BODY, 403, "ALLOW_ANONYMOUS_WORKLOADS"),
    ],
)
def test_every_error_has_a_message(  # noqa: PLR0917 - a row of the table
    app: AppClient, method: str, path: str, body: Any, status: int, message: str
) -> None:
    """Errors are JSON, and have no field of a successful response."""
    response = call(app, method, path, **({} if body is None else {"json": body}))

    assert response.status_code == status
    assert message in response.json["message"]
    assert response.json["errors"]
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert not {"address", "collections", "tokenId", "url", "id", "jwt"} & set(response.json)


def test_a_missing_key_is_an_error_with_a_message(app: AppClient) -> None:
    """An invalid key gets the same error."""
    for authorization in (None, "Bearer nobody", ""):
        response = call(app, "GET", "/v1/consumer/user-info/", authorization)
        assert (response.status_code, bool(response.json["message"])) == (401, True)


def test_anonymous_generations_can_be_allowed(app: AppClient) -> None:
    """They work with ALLOW_ANONYMOUS_WORKLOADS for prompts, and ignore idempotency keys."""
    anonymous_app = open_app(replace(app.stores.settings, allow_anonymous_workloads=True))
    body = {"input": {"prompt": "Example"}, "model": "stability-ai-sdxl", "customTrainedModel": False}
    try:
        result = call(anonymous_app, "POST", "/v1/workload/ai/new/?type=IMAGE_GENERATION_PROMPT", None, json=body).json
        assert anonymous_app.stores.jobs.get(result["id"].removeprefix("0x")).owner == "anonymous"
        assert anonymous_app.stores.watch_tokens.verify(result["jwt"], result["id"].removeprefix("0x"))
        headers = {"Idempotency-Key": "1"}
        path = "/v1/workload/ai/new/?type=IMAGE_GENERATION_PROMPT"
        job_ids = {call(anonymous_app, "POST", path, None, json=body, headers=headers).json["id"] for _ in range(2)}
        assert len(job_ids) == 2
        assert "type" in call(anonymous_app, "POST", "/v1/workload/ai/new/?type=OTHER", None, json=body).json["message"]
    finally:
        close_app(anonymous_app)


def test_cors_allows_every_origin(app: AppClient) -> None:
    """Preflights are answered with and without a trailing slash, and without a redirect."""
    headers = {"Origin": "https://gai.gg", "Access-Control-Request-Method": "POST"}
    requested = {"Access-Control-Request-Headers": "authorization,content-type"}
    for path in ("/v1/consumer/gen", "/v1/consumer/gen/"):
        response = app.client.options(path, headers=headers | requested)
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert {"authorization", "content-type"} <= {
            word.strip().lower() for word in response.headers["Access-Control-Allow-Headers"].split(",")
        }
        assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Access-Control-Allow-Origin" not in app.client.get("/health", headers=headers).headers


def test_idempotency_keys_work(app: AppClient) -> None:
    """They work as in the other APIs."""
    headers = {"Idempotency-Key": "abc"}
    first, second = (call(app, "POST", "/v1/consumer/gen", json=BODY, headers=headers) for _ in range(2))

    assert first.json["id"] == second.json["id"]
    assert second.headers["Idempotent-Replayed"] == "true"
