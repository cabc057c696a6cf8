"""The generaitiv API as its existing clients call it."""

from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import API_KEY
from tests.integration.conftest import AppClient, close_app, open_app
from tests.unit.jobs.test_generaitiv_requests import RAW_INPUTS

BODY = {"input": RAW_INPUTS, "model": "stability-ai-sdxl"}


def call(app: AppClient, method: str, path: str, authorization: str | None = API_KEY, **kwargs: Any) -> Any:
    """A call as clients make it: the bare key, and a type that nobody checks."""
    headers = {"Content-Type": "Application/json"} | ({"Authorization": authorization} if authorization else {})
    return app.client.open(path, method=method, headers=headers | kwargs.pop("headers", {}), **kwargs)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("authorization", [API_KEY, f"Bearer {API_KEY}", f"bearer  {API_KEY} "])
def test_a_generation_is_a_job(app: AppClient, slash: str, authorization: str) -> None:
    """With all that the documents' example has; every surface sees the same one."""
    answer = call(app, "POST", f"/v1/consumer/gen{slash}", authorization, json=BODY)

    assert answer.status_code == 200
    told = answer.json
    assert told["id"] == told["workload_id"]
    assert "message" not in told
    job = app.get_job(told["id"].removeprefix("0x"))
    assert (job["prompt"], job["site"], job["inputs"]["steps"], job["inputs"]["width"]) == (
        "Example",
        "studio",
        50,
        1024,
    )
    assert any("prompt_strength" in warning for warning in told["warnings"])
    assert any("stability-ai-sdxl" in warning for warning in told["warnings"])
    assert told["ws_url"].endswith(f"/v1/ws?id={told['id']}&jwt={told['jwt']}")


def test_what_the_site_does_not_take_is_left_out(app: AppClient) -> None:
    """And said."""
    body = {"input": {"prompt": "a harbour", "lora": "x", "lora_name": "y"}, "model": "gradio"}

    told = call(app, "POST", "/v1/consumer/gen?dry_run=1", json=body).json

    assert ["lora", "lora_name"] == sorted(warning.partition(":")[0] for warning in told["warnings"])


def test_a_workload_is_read_by_its_owner_alone(app: AppClient) -> None:
    """With a new pass for as long as it goes on, and without a message."""
    ident = call(app, "POST", "/v1/consumer/gen", json=BODY).json["id"]

    shown = call(app, "GET", f"/v1/workload/{ident}/").json
    assert (shown["id"], shown["status"], shown["model"]) == (ident, "QUEUED", "studio")
    assert app.stores.watch_tokens.verify(shown["jwt"], ident.removeprefix("0x"))
    app.delete(f"/api/v1/jobs/{ident.removeprefix('0x')}")
    ended = call(app, "GET", f"/v1/workload/{ident}").json
    assert (ended["status"], ended["error_code"]) == ("FAILED", "cancelled")
    assert "message" not in ended
    stranger = app.stores.api_keys.create("bob")
    assert call(app, "GET", f"/v1/workload/{ident}", stranger).status_code == 404


def test_a_rehearsal_makes_nothing(app: AppClient) -> None:
    """It says the cost, the position and what would block."""
    call(app, "POST", "/v1/consumer/gen", json=BODY)

    told = call(app, "POST", "/v1/consumer/gen?dry_run=1", json=BODY).json

    assert (told["dry_run"], told["cost"], told["position"], told["blocked_by"]) == (True, 1, 2, None)
    assert told["warnings"]
    assert len(app.get("/api/v1/jobs").json["jobs"]) == 1


def test_a_rehearsal_names_the_limit(app: AppClient) -> None:
    """That would refuse the generation."""
    small = open_app(replace(app.stores.settings, limit_queued_images=1))
    try:
        call(small, "POST", "/v1/consumer/gen", json=BODY)
        told = call(small, "POST", "/v1/consumer/gen?dry_run=true", json=BODY).json
        assert "LIMIT_QUEUED_IMAGES" in told["blocked_by"]["limit"]
        assert call(small, "POST", "/v1/consumer/gen", json=BODY).json["message"] == told["blocked_by"]["limit"]
    finally:
        close_app(small)


def test_each_key_has_an_address_of_its_own(app: AppClient) -> None:
    """The same each time, with the checksum that wallets want."""
    bob = app.stores.api_keys.create("bob")
    mine = [call(app, "GET", f"/v1/consumer/user-info{slash}").json["address"] for slash in ("", "/")]
    his = call(app, "GET", "/v1/consumer/user-info/", bob).json["address"]

    assert mine[0] == mine[1] != his
    assert len(mine[0]) == 42
    assert mine[0] != mine[0].lower()


@pytest.mark.parametrize("path", ["/v1/training/owned-by/me", "/v1/training/owned-by-me", "/v1/training/owned-by-me/"])
def test_there_are_no_trainings(app: AppClient, path: str) -> None:
    """A list all the same; a body of a GET is not looked at."""
    answer = call(app, "GET", path, data="not json")

    assert (answer.status_code, answer.json) == (200, [])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
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
    app: AppClient, method: str, path: str, body: Any, status: int, words: str
) -> None:
    """In JSON, and without what would look like success."""
    answer = call(app, method, path, **({} if body is None else {"json": body}))

    assert answer.status_code == status
    assert words in answer.json["message"]
    assert answer.json["errors"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert not {"address", "collections", "tokenId", "url", "id", "jwt"} & set(answer.json)


def test_without_a_key_there_is_a_message(app: AppClient) -> None:
    """As with a wrong one."""
    for authorization in (None, "Bearer nobody", ""):
        answer = call(app, "GET", "/v1/consumer/user-info/", authorization)
        assert (answer.status_code, bool(answer.json["message"])) == (401, True)


def test_who_has_no_key_may_generate_where_that_is_allowed(app: AppClient) -> None:
    """As the API's own page does; only that kind."""
    open_ = open_app(replace(app.stores.settings, allow_anonymous_workloads=True))
    body = {"input": {"prompt": "Example"}, "model": "stability-ai-sdxl", "customTrainedModel": False}
    try:
        told = call(open_, "POST", "/v1/workload/ai/new/?type=IMAGE_GENERATION_PROMPT", None, json=body).json
        assert open_.stores.jobs.get(told["id"].removeprefix("0x")).owner == "anonymous"
        assert open_.stores.watch_tokens.verify(told["jwt"], told["id"].removeprefix("0x"))
        headers = {"Idempotency-Key": "1"}
        path = "/v1/workload/ai/new/?type=IMAGE_GENERATION_PROMPT"
        twice = {call(open_, "POST", path, None, json=body, headers=headers).json["id"] for _ in range(2)}
        assert len(twice) == 2
        assert "type" in call(open_, "POST", "/v1/workload/ai/new/?type=OTHER", None, json=body).json["message"]
    finally:
        close_app(open_)


def test_pages_of_others_may_call(app: AppClient) -> None:
    """Keys are sent by hand; a preflight is answered, at either form of an address, without a redirect."""
    asks = {"Origin": "https://gai.gg", "Access-Control-Request-Method": "POST"}
    wanted = {"Access-Control-Request-Headers": "authorization,content-type"}
    for path in ("/v1/consumer/gen", "/v1/consumer/gen/"):
        answer = app.client.options(path, headers=asks | wanted)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert {"authorization", "content-type"} <= {
            word.strip().lower() for word in answer.headers["Access-Control-Allow-Headers"].split(",")
        }
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Access-Control-Allow-Origin" not in app.client.get("/health", headers=asks).headers


def test_the_same_key_twice_makes_one_generation(app: AppClient) -> None:
    """As on every route that submits."""
    headers = {"Idempotency-Key": "abc"}
    first, second = (call(app, "POST", "/v1/consumer/gen", json=BODY, headers=headers) for _ in range(2))

    assert first.json["id"] == second.json["id"]
    assert second.headers["Idempotent-Replayed"] == "true"
