"""The native surface without a worker: submit, list, cancel, results, sites."""

from typing import Any

import pytest

from tests.integration.conftest import AppClient


def test_ones_jobs_are_ones_own(app: AppClient) -> None:
    """Another caller's job is as unknown as one that never was, on every native route."""
    ident = app.submit()
    bob = {"Authorization": f"Bearer {app.stores.api_keys.create('bob')}"}

    for path in ("", "/result", "/failure"):
        assert app.client.get(f"/api/v1/jobs/{ident}{path}", headers=bob).status_code == 404
    assert app.client.delete(f"/api/v1/jobs/{ident}", headers=bob).status_code == 404
    assert app.client.get("/api/v1/jobs", headers=bob).json["jobs"] == []
    assert [ident] == [job["id"] for job in app.get("/api/v1/jobs").json["jobs"]]
    assert app.client.get("/quota", headers=bob).json["usage"]["QUEUED_IMAGE_JOBS"] == 0


def test_a_native_submission_says_where_it_is(app: AppClient) -> None:
    """202, Location, and the job itself."""
    answer = app.post("/api/v1/jobs", json={"prompt": "x", "lora": "Linocut", "inputs": {"negativePrompt": "fog"}})

    job = answer.json
    assert (202, f"/api/v1/jobs/{job['id']}") == (answer.status_code, answer.headers["Location"])
    assert tuple(job[name] for name in ("status", "site", "lora", "inputs", "position")) == (
        "QUEUED",
        "studio",
        "Linocut",
        {"negativePrompt": "fog"},
        1,
    )


@pytest.mark.parametrize(
    ("body", "words"),
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
def test_a_bad_native_submission_names_the_field(app: AppClient, body: dict[str, Any], words: str) -> None:
    """400 with a code, a hint, and a sentence for each field."""
    answer = app.post("/api/v1/jobs", json=body)

    error = answer.json["error"]
    assert (answer.status_code, error["code"], error["retryable"]) == (400, "invalid", False)
    assert words in error["details"][0]
    assert error["hint"]


def test_pages_of_jobs_join(app: AppClient) -> None:
    """Cursors lead through everything once; a foreign one is refused."""
    ids = [app.submit() for _ in range(5)]
    first = app.get("/api/v1/jobs?limit=3").json
    second = app.get("/api/v1/jobs", query_string={"limit": 3, "cursor": first["nextCursor"]}).json

    assert set(ids) == {job["id"] for job in first["jobs"] + second["jobs"]}
    assert second["nextCursor"] is None
    for query in ("cursor=!", "limit=0", "limit=101", "limit=x"):
        assert app.get(f"/api/v1/jobs?{query}").status_code == 400


def test_cancelling_twice_changes_nothing(app: AppClient) -> None:
    """A job that waits ends at once; after that its end stays."""
    ident = app.submit()
    first, second = app.delete(f"/api/v1/jobs/{ident}"), app.delete(f"/api/v1/jobs/{ident}")

    assert (first.status_code, first.json["status"], first.json["error"]["code"]) == (200, "FAILED", "cancelled")
    assert (200, first.json) == (second.status_code, second.json)
    assert app.delete("/api/v1/jobs/" + "0" * 32).status_code == 404


def test_a_result_that_is_not_there_is_a_conflict(app: AppClient) -> None:
    """The answer says in which state the job is."""
    answer = app.get(f"/api/v1/jobs/{app.submit()}/result")

    assert answer.status_code == 409
    assert "QUEUED" in answer.json["error"]["message"]


def test_a_body_of_another_type_is_refused(app: AppClient) -> None:
    """415, and the answer says which type is wanted."""
    answer = app.post("/api/v1/jobs", data="prompt=x", content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 415
    assert "application/json" in answer.json["error"]["message"]


def test_sites_say_what_they_accept(app: AppClient) -> None:
    """Types, ranges and defaults of every input."""
    sites = app.get("/api/v1/sites").json
    studio = app.get("/api/v1/sites/studio").json

    assert (sites["default"], [site["name"] for site in sites["sites"]]) == (
        "studio",
        ["automatic1111", "comfyui", "fooocus", "gradio", "studio", "weights"],
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
def test_no_body_is_worse_than_a_400(app: AppClient, path: str, body: bytes) -> None:
    """Broken, deep, huge or odd JSON is the client's fault on every surface."""
    if path == "/generateImage":
        body = (
            body.replace(b'"x", "inputs": {', b'"a lighthouse at dusk", ').removesuffix(b"}")
            if b"inputs" in body
            else body
        )
    answer = app.post(path, data=body, content_type="application/json")

    assert (answer.status_code, answer.mimetype) == (400, "application/json"), answer.get_data(as_text=True)[:300]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"prompt": "x",}', "line 1 column"),
        (b'{"prompt": "\xff"}', "byte 0xff"),
        (b"[" * 100_000, "nested too deeply"),
        (b"<prompt>x</prompt>", "Expecting value"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/generateImage", "/v1/consumer/gen", "/api/v1/webhooks"])
def test_what_is_wrong_with_json_is_told(app: AppClient, path: str, body: bytes, words: str) -> None:
    """And where, on every surface."""
    answer = app.post(path, data=body, content_type="application/json")

    said = answer.get_data(as_text=True)
    assert (answer.status_code, words in said) == (400, True), said
    assert "The body is not valid JSON in UTF-8" in said
