"""The description of the API is complete: ids, responses, errors, examples, and the methods of each path."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from tests.integration.conftest import AppClient


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the label and the description of each operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                yield f"{method.upper()} {path}", operation | {"shared": methods.get("parameters", [])}


def test_every_operation_is_described_in_full(app: AppClient) -> None:
    """Each has an id, a heading, words, typed responses, the error body of its API, and described parameters."""
    document = app.client.get("/openapi.json").json
    found = dict(operations(document))
    ids = [operation["operationId"] for operation in found.values()]
    titles = {tag["name"] for tag in document["tags"]}

    assert len(ids) == len(set(ids)) > 120
    for label, operation in found.items():
        assert operation["summary"], label
        assert set(operation["tags"]) <= titles, label
        is_refused_always = "501" in operation["responses"]
        assert is_refused_always != any(status < "400" for status in operation["responses"]), label
        assert {"429", "500", "503"} <= set(operation["responses"]), label
        for status, response in operation["responses"].items():
            assert response["description"], (label, status)
            has_body = status not in {"204", "304", "308"} and (label, status) != ("POST /mcp", "202")
            assert bool(response.get("content")) == has_body, (label, status)
            assert all(content.get("schema") for content in response.get("content", {}).values()), (label, status)
        for parameter in (*operation["shared"], *operation.get("parameters", ())):
            assert parameter["schema"], (label, parameter["name"])


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/api/v1/jobs", "NativeError"),
        ("/api/v1/models", "LibraryError"),
        ("/v1/q/latest-tokens", "GeneraitivError"),
        ("/quota", "WeightsError"),
        ("/v1/models", "OpenAIError"),
        ("/sdapi/v1/options", "SdapiError"),
    ],
)
def test_each_api_describes_its_own_errors(app: AppClient, path: str, schema: str) -> None:
    """The body of an error is that of the API, and the response to a request without a key is such a body."""
    document = app.client.get("/openapi.json").json
    described = document["paths"][path]["get"]["responses"]["401"]["content"]["application/json"]["schema"]
    root = {**described, "components": document["components"]}

    assert described == {"$ref": f"#/components/schemas/{schema}"}
    if path != "/v1/q/latest-tokens":
        assert jsonschema_rs.is_valid(root, app.client.get(path).json)


def test_the_api_of_another_program_describes_its_own_statuses(app: AppClient) -> None:
    """What is wrong with a request is 422 there, and routes that read no body describe no errors of bodies."""
    paths = app.client.get("/openapi.json").json["paths"]
    found = {path: item["post"] for path, item in paths.items() if path.startswith("/sdapi/v1/") and "post" in item}

    assert len(found) > 10
    for path, operation in found.items():
        statuses, of_bodies = set(operation["responses"]), {"408", "413", "422"}
        assert not statuses & {"400", "415"}, path
        assert statuses & of_bodies == (of_bodies if "requestBody" in operation else set()), path
    for path in (path for path, operation in found.items() if "requestBody" in operation):
        for content_type in ("application/json", "text/plain"):
            answer = app.post(path, data=b"{", content_type=content_type)
            assert str(answer.status_code) in found[path]["responses"], (path, content_type, answer.text)


def test_the_newest_version_of_the_protocol_of_agents_can_be_called_as_described(app: AppClient) -> None:
    """All header fields that it requires are described, and the one that a client has to keep."""
    document = app.client.get("/openapi.json").json["paths"]["/mcp"]["post"]
    names = {parameter["name"] for parameter in document["parameters"]}

    assert {"MCP-Protocol-Version", "Mcp-Session-Id", "Mcp-Method", "Mcp-Name"} <= names
    assert "Mcp-Session-Id" in document["responses"]["200"]["headers"]


def test_examples_are_valid(app: AppClient) -> None:
    """Every example of a body is one that its schema allows."""
    document = app.client.get("/openapi.json").json
    checked = 0
    for label, operation in operations(document):
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            for content in body.get("content", {}).values():
                if "example" in content:
                    root = {**content["schema"], "components": document["components"]}
                    problems = [
                        error.message for error in jsonschema_rs.validator_for(root).iter_errors(content["example"])
                    ]
                    assert not problems, (label, content["example"], problems)
                    checked += 1

    assert checked > 100


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/jobs/cancel", {"POST"}),
        ("/api/v1/webhooks/secret", {"GET", "HEAD"}),
        ("/api/v1/deliveries/redeliver", {"POST"}),
        ("/api/v1/models/filters", {"GET", "HEAD"}),
        ("/api/v1/jobs/" + "0" * 32, {"GET", "HEAD", "DELETE"}),
    ],
)
def test_allow_names_the_methods_of_the_path_alone(app: AppClient, path: str, methods: set[str]) -> None:
    """A path that a route with a parameter matches too has its own methods: in ``Allow``, and in what is refused."""
    options = app.client.open(path, method="OPTIONS")
    refused = app.client.open(path, method="PUT")
    shadowed = app.get(path)

    assert set(options.headers["Allow"].split(", ")) == methods | {"OPTIONS"}
    assert set(refused.headers["Allow"].split(", ")) == methods | {"OPTIONS"}
    assert refused.status_code == 405
    assert (shadowed.status_code == 405) == ("GET" not in methods)
