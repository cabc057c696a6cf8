"""Examples of bodies, composed of the examples, defaults and types of their fields.

Errors have them in their fields only: a document with one for each status of each operation would be twice as long.
"""

from collections.abc import Iterator, Mapping
from typing import Any

EXAMPLES_BY_FORMAT: Mapping[str, str] = {
    "uri": "https://darkroom.example/9f86d081884c7d659a2feaa0c55ad015.png",
    "date-time": "2025-05-17T14:55:41.218Z",
}
MAX_DEPTH = 8


def add_examples(document: dict[str, Any]) -> dict[str, Any]:
    """Add an example to every JSON body of a document that has none; return the document."""
    for content in _json_contents(document):
        if "example" not in content and "examples" not in content and "schema" in content:
            content["example"] = build_example(content["schema"], document)
    return document


def build_example(schema: Mapping[str, Any], document: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value that ``schema`` describes."""
    if "$ref" in schema:
        return build_example(_resolve(schema["$ref"], document), document, depth)
    for keyword in ("example", "const", "default"):
        if keyword in schema:
            return schema[keyword]
    for keyword in ("examples", "enum"):
        if schema.get(keyword):
            return schema[keyword][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return build_example(schema[keyword][0], document, depth)
    return _example_of_type(schema, document, depth)


def _example_of_type(schema: Mapping[str, Any], document: Mapping[str, Any], depth: int) -> Any:
    types = schema.get("type", "object" if "properties" in schema else "string")
    match types if isinstance(types, str) else types[0]:
        case "object":
            required = set(schema.get("required", ()))
            shown = {
                name: field
                for name, field in schema.get("properties", {}).items()
                if name in required or (depth == 0 and _has_example(field))
            }
            return {name: build_example(field, document, depth + 1) for name, field in shown.items()}
        case "array":
            return [build_example(schema["items"], document, depth + 1)] if depth < MAX_DEPTH else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
    return EXAMPLES_BY_FORMAT.get(schema.get("format", ""), "text")


def _has_example(schema: Mapping[str, Any]) -> bool:
    return "example" in schema or "examples" in schema


def _resolve(reference: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found  # type: ignore[no-any-return] # a part of a document is a mapping


def _json_contents(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict):
                successes = [body for status, body in operation["responses"].items() if status < "400"]
                bodies = [operation.get("requestBody", {}), *successes]
                yield from (body["content"]["application/json"] for body in bodies if _has_json(body))


def _has_json(body: Mapping[str, Any]) -> bool:
    return "application/json" in body.get("content", {})
