"""Requests in which one field has a value that is false in Python: whether each is taken as the description says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
from flask.testing import FlaskClient

from tests.support.api_fuzzing import KNOWN_FIELDS

JSON = "application/json"
# A text of white space alone is an empty one where texts are stripped.
FALSY_VALUES: tuple[Any, ...] = (None, "", " ", 0, False, [], {})
REFUSED = (400, 422)
# Their bounds are those of the site, or of another field of the same request.
RELATED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "sdapiGenerationTextToImage": ("steps", "width", "height"),
    "galleryTokensSetListing": ("endTime",),
}


@dataclass(frozen=True, slots=True)
class FalsyRequest:
    """A request with ``value`` in the field ``name``, and whether the description allows it."""

    operation_id: str
    method: str
    path: str
    name: str
    value: Any
    is_described: bool
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] | None = None


def find_differences(
    client: FlaskClient, headers: Mapping[str, str], document: Mapping[str, Any]
) -> tuple[list[str], int]:
    """Send all such requests; return those that are not taken as described, in words, and how many were sent."""
    differences, count = [], 0
    accepted = {"queries": set(), "bodies": set()}
    for base in _base_requests(document):
        response = _send(client, headers, base)
        if response.status_code not in REFUSED:
            accepted["bodies" if base.body is not None else "queries"].add(base.operation_id)
    for request in _falsy_requests(document):
        kind = "bodies" if request.body is not None else "queries"
        response = _send(client, headers, request)
        count += 1
        is_refused = response.status_code in REFUSED
        is_wrong = is_refused if request.is_described else not 400 <= response.status_code < 500
        if is_wrong and (not request.is_described or request.operation_id in accepted[kind]):
            words = "described" if request.is_described else "not described"
            differences.append(
                f"{request.operation_id} {request.name}={request.value!r}: {words}, {response.status_code}"
                f" {response.get_data(as_text=True)[:200]}"
            )
    return differences, count


def _send(client: FlaskClient, headers: Mapping[str, str], request: FalsyRequest) -> Any:
    options: dict[str, Any] = {"headers": dict(headers), "query_string": dict(request.query or {}), "buffered": True}
    if request.body is not None:
        options["json"] = dict(request.body)
    return client.open(request.path, method=request.method, **options)


def _base_requests(document: Mapping[str, Any]) -> Iterator[FalsyRequest]:
    """Yield a request for each body, and for each operation that has a query, as the examples are."""
    for operation in _operations(document):
        if operation.body is not None:
            yield operation.request("", None, is_described=True, body=operation.body)
        if operation.queries:
            yield operation.request("", None, is_described=True, query=operation.required_query)


def _falsy_requests(document: Mapping[str, Any]) -> Iterator[FalsyRequest]:
    for operation in _operations(document):
        for name in operation.properties if operation.body is not None else ():
            for value in FALSY_VALUES:
                body = {**(operation.body or {}), name: value}
                if name in RELATED_FIELDS.get(operation.operation_id, ()):
                    continue
                if (is_described := operation.allows_body(name, body)) is not None:
                    yield operation.request(name, value, is_described=is_described, body=body)
        for parameter in operation.queries:
            query = {**operation.required_query, parameter["name"]: ""}
            # An empty text is an empty list where lists are separated by commas.
            sent: Any = [] if parameter["schema"].get("type") == "array" else ""
            allowed = jsonschema_rs.is_valid(_with_components(parameter["schema"], document), sent)
            yield operation.request(parameter["name"], "", is_described=allowed, query=query)


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation with its example, and the schema of its JSON body."""

    operation_id: str
    method: str
    path: str
    body: Mapping[str, Any] | None
    properties: Mapping[str, Any]
    validator: Any
    queries: list[Mapping[str, Any]]

    @property
    def required_query(self) -> dict[str, str]:
        """The parameters without which the request is refused."""
        return {each["name"]: str(_example(each)) for each in self.queries if each.get("required")}

    def request(self, name: str, value: Any, *, is_described: bool, **parts: Any) -> FalsyRequest:
        """Return a request to this operation."""
        if "body" in parts and self.queries:
            parts["query"] = self.required_query
        return FalsyRequest(self.operation_id, self.method, self.path, name, value, is_described, **parts)

    def allows_body(self, name: str, body: Mapping[str, Any]) -> bool | None:
        """Whether the description allows a body; None for what docs/decisions/0030 calls lenient."""
        if self.validator.is_valid(body):
            return True
        value = body[name]
        if isinstance(value, str) and value != value.strip() and self.validator.is_valid({**body, name: value.strip()}):
            return None
        # Truth values are read as forms are.
        if value == 0 and not isinstance(value, bool) and self.validator.is_valid({**body, name: False}):
            return None
        return False


def _operations(document: Mapping[str, Any]) -> Iterator[_Operation]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method == "parameters":
                continue
            parameters = [*methods.get("parameters", ()), *operation.get("parameters", ())]
            url = path
            for parameter in parameters:
                if parameter["in"] == "path":
                    url = url.replace(f"{{{parameter['name']}}}", str(_example(parameter)))
            queries = [parameter for parameter in parameters if parameter["in"] == "query"]
            content = operation.get("requestBody", {}).get("content", {}).get(JSON, {})
            schema = _resolve(content.get("schema", {}), document)
            example = content.get("example")
            body = None
            if isinstance(example, dict) and "properties" in schema:
                body = {name: KNOWN_FIELDS.get(name, value) for name, value in example.items()}
            yield _Operation(
                operation["operationId"],
                method.upper(),
                url,
                body,
                schema.get("properties", {}),
                jsonschema_rs.Draft202012Validator(_with_components(schema, document), validate_formats=True),
                queries,
            )


def _example(parameter: Mapping[str, Any]) -> Any:
    schema = parameter["schema"]
    return parameter.get("example", schema.get("example", (schema.get("enum") or [1])[0]))


def _resolve(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = schema
    while "$ref" in found:
        target: Any = document
        for part in found["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        found = target
    resolved: Mapping[str, Any] = found
    return resolved


def _with_components(schema: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "components": document["components"]}
