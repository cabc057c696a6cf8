"""Schemathesis on an application in this process: requests that the description allows, and requests that it forbids.

All of its checks run, in all of its phases, with a seed and with the same constants, so that a run is the same each
time: Hypothesis draws constants from the modules of the project that are loaded, which in a run of all tests are others
than in a run of one file.
"""

import base64
import uuid
from collections.abc import Mapping
from typing import Any
from unittest import mock

import schemathesis
import werkzeug
from flask import Flask
from hypothesis.internal.conjecture import providers
from marshmallow import fields
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.engine import events, from_schema
from schemathesis.python import wsgi

from schemas.jobs.openai_requests import REQUEST_FIELDS
from tests.support.images import VALID_IMAGES

SEED = 20_250_517
PICTURE = VALID_IMAGES["png"][0]
IDEMPOTENCY_KEY = "Idempotency-Key"
ARCHIVE_TYPE = "application/zip"
ARCHIVES: list[bytes] = []
BOOLEANS = fields.Boolean.truthy | fields.Boolean.falsy
# Values that only this installation knows, or that fit each other, stand for those that were drawn, where a request is
# to be accepted: a description cannot name the sites that there are, the inputs of each, or addresses that resolve.
KNOWN_FIELDS: Mapping[str, Any] = {
    "site": "studio",
    "model": "studio",
    "inputs": {"seed": 7},
    "webhook": "https://93.184.215.14/hook",
    "url": "https://93.184.215.14/hook",
    "startTime": "0x1",
    "endTime": "0x2",
    "page": 1,
    "sd_model_checkpoint": "studio",
}
# What is left out of such requests: cursors, texts in a language of their own, and names of what is not there.
OPAQUE_FIELDS = ("cursor", "search", "loras", "comfyWorkflow", "tokenId")
OPAQUE_FIELDS_BY_OPERATION: Mapping[str, tuple[str, ...]] = {
    "galleryNewTokensAdd": ("jobId", "imageId", "number", "attributes"),
    "modelImagesAdd": ("versionId",),
    "modelImagesOfSessionAdd": ("versionId",),
}
GENERATION_FIELDS = ("prompt", "negative_prompt", "styles", "restore_faces", "send_images", "save_images")
# Further fields are inputs of the site.
FIELDS_BY_OPERATION: Mapping[str, tuple[str, ...]] = {
    "weightsGenerateImage": ("prompt", "loraName", "site", "priority"),
    "weightsGenerateImageByQuery": ("prompt", "loraName", "site", "priority"),
    "openaiImagesGenerateImages": tuple(REQUEST_FIELDS),
    "jobsCreate": ("prompt", "lora", "site", "priority", "inputs", "webhook"),
    "sdapiGenerationTextToImage": GENERATION_FIELDS,
    "sdapiGenerationImageToImage": GENERATION_FIELDS,
}
# What makes a request complete: a picture, and a site that takes one.
VALUES_BY_OPERATION: Mapping[str, Mapping[str, Any]] = {
    "sdapiGenerationImageToImage": {
        "init_images": [base64.b64encode(PICTURE).decode()],
        "override_settings": {"sd_model_checkpoint": "automatic1111"},
    },
    "sdapiPngInfoReadPngInfo": {"image": base64.b64encode(PICTURE).decode()},
}
REFUSED = ("ExtraSingleImage", "ExtraBatchImages", "Interrogate")
REFUSED += ("CreateEmbedding", "CreateHypernetwork", "TrainEmbedding", "TrainHypernetwork")
# Statuses that tell the state of the installation: it has no browser that answers, no page that takes pictures, and
# looks like one that stops, so that streams end.
STATES: Mapping[str, Mapping[str, list[str]]] = {
    "healthRead": {"not_a_server_error": ["503"]},
    "weightsSearchLoras": {"not_a_server_error": ["503"]},
    "openaiImagesGenerateImages": {"not_a_server_error": ["503"]},
    "openaiImagesEditImages": {"not_a_server_error": ["503"], "positive_data_acceptance": ["400"]},
    "sdapiGenerationTextToImage": {"not_a_server_error": ["503"]},
    "sdapiGenerationImageToImage": {"not_a_server_error": ["503"]},
    # What a message means is no matter of the description.
    "mcpExchange": {"positive_data_acceptance": ["400"]},
    **{f"sdapiRefusals{name}": {"not_a_server_error": ["501"]} for name in REFUSED},
}
EXPECTED: Mapping[str, list[str]] = {
    "not_a_server_error": ["2xx", "3xx", "4xx"],
    "positive_data_acceptance": ["2xx", "3xx", "401", "403", "404", "409", "410", "429", "5xx"],
}


def find_failures(app: Flask, key: str, archive: bytes, *, examples: int, steps: int) -> tuple[list[str], int]:
    """Return what Schemathesis finds, a text for each failure, and how many requests it sent.

    ``examples`` is the number of requests that are drawn for each operation in each phase, ``steps`` the length of each
    sequence of requests. ``archive`` is one of a collection.
    """
    ARCHIVES.append(archive)
    with (
        mock.patch.object(wsgi, "get_client", Client),
        mock.patch.object(providers, "_get_local_constants", providers.Constants),
        mock.patch.object(providers, "CONSTANTS_CACHE", {}),
    ):
        schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=_build_config(key, examples, steps))
        return _collect(from_schema(schema).execute())


def _collect(stream: Any) -> tuple[list[str], int]:
    failures: dict[str, None] = {}
    count = 0
    for event in stream:
        if isinstance(event, events.ScenarioFinished):
            count += len(event.recorder.interactions)
            for case_id, checks in event.recorder.checks.items():
                for check in checks:
                    if check.failure_info is not None:
                        failures[describe_failure(event.recorder, case_id, check)] = None
        elif isinstance(event, events.NonFatalError):
            failures[f"{event.label}: {str(event.value)[:600]}"] = None
        elif isinstance(event, events.FatalError):
            raise event.exception
    return list(failures), count


def _build_config(key: str, examples: int, steps: int) -> SchemathesisConfig:
    operations = [
        {
            "include-operation-id": operation,
            "checks": {name: {"expected-statuses": EXPECTED[name] + more} for name, more in states.items()},
        }
        for operation, states in STATES.items()
    ]
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "auth": {"openapi": {"key": {"api_key": key}, "bearer": {"bearer": key}}},
            "continue-on-failure": True,
            "suppress-health-check": ["all"],
            "warnings": False,
            "generation": {
                "max-examples": examples,
                "deterministic": True,
                "no-shrink": True,
                "database": "none",
                "with-security-parameters": False,
            },
            "phases": {"stateful": {"max-steps": steps}},
            "operations": operations,
        }
    )


@schemathesis.hook("before_call")
def use_known_values(_context: Any, case: Any, _kwargs: Any) -> None:
    """Replace drawn values by known ones, in a request that is to be accepted."""
    if IDEMPOTENCY_KEY in case.headers:
        # Where nothing is created, the key says nothing.
        case.query = {name: value for name, value in case.query.items() if name != "dry_run"}
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    operation = case.operation.definition.raw["operationId"]
    opaque = (*OPAQUE_FIELDS, *OPAQUE_FIELDS_BY_OPERATION.get(operation, ()))
    known = FIELDS_BY_OPERATION.get(operation)
    case.query = _with_known_values(case.query, opaque, known)
    # Names of sites are taken for ids of models, because there are models at other addresses, which have names.
    if not str(case.path_parameters.get("model_id", 1)).isdigit():
        case.path_parameters = case.path_parameters | {"model_id": 1}
    # Cases share the objects that were drawn for them.
    if isinstance(case.body, dict):
        case.body = _with_known_values(case.body, opaque, known)
    if isinstance(case.body, dict):
        case.body |= VALUES_BY_OPERATION.get(operation, {})
    if case.media_type == ARCHIVE_TYPE:
        case.body = ARCHIVES[-1]
    if IDEMPOTENCY_KEY in case.headers:
        # Keys that were drawn twice would belong to two requests.
        case.headers[IDEMPOTENCY_KEY] = uuid.uuid4().hex


def _with_known_values(
    drawn: Mapping[str, Any], opaque: tuple[str, ...], known: tuple[str, ...] | None
) -> dict[str, Any]:
    kept = {name: value for name, value in drawn.items() if name not in opaque and (not known or name in known)}
    is_form = isinstance(kept.get("inputs"), str)
    values = {**KNOWN_FIELDS, "file": PICTURE} | ({"inputs": '{"seed": 7}'} if is_form else {})
    return kept | {name: value for name, value in values.items() if name in kept}


@schemathesis.hook("filter_failure")
def is_no_leniency(_context: Any, failure: Any, case: Any, _response: Any) -> bool:
    """Whether a failure is not a known exception of docs/decisions: JSON that is parsed like a form."""
    if not isinstance(failure, AcceptedNegativeData) or not isinstance(case.body, dict):
        return True
    if case.media_type == "multipart/form-data":
        # Fields of a form are texts: what was drawn as another type may be valid as it is sent.
        return False
    properties = case.operation.get_body_for_media_type(case.media_type).optimized_schema.get("properties", {})
    read = {name: _read_as_form(value, properties.get(name, {})) for name, value in case.body.items()}
    # By their texts: true equals 1 otherwise.
    return repr(read) == repr(case.body)


def _read_as_form(value: Any, schema: Mapping[str, Any]) -> Any:
    if "boolean" in schema.get("type", ()) and isinstance(value, str | int) and value in BOOLEANS:
        return True
    if isinstance(value, str) and value.strip().lstrip("+-").isdigit() and "integer" in str(schema):
        return int(value)
    if isinstance(value, str) and value.isdigit() and "anyOf" in schema:
        return value.lstrip("0") or "0"
    return value


class Client(werkzeug.Client):
    """The client of an application; Schemathesis passes it options that are only for clients of networks."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """Send a request."""
        for name in ("max_redirects", "verify", "cert", "proxies"):
            kwargs.pop(name, None)
        return super().open(*args, **kwargs)


@schemathesis.serializer("application/zip", "*/*")
def serialize_bytes(_context: Any, value: Any) -> dict[str, Any]:
    """Send bytes as they are."""
    return {"data": value if isinstance(value, bytes) else getattr(value, "data", str(value).encode())}


def describe_failure(recorder: Any, case_id: str, check: Any) -> str:
    """Return the check, its message, and the request and the response that it is about."""
    case = recorder.cases[case_id].value
    interaction = recorder.interactions.get(case_id)
    response = interaction.response if interaction else None
    answer = f"{response.status_code} {response.content[:200]!r}" if response else "no response"
    request = f"{case.method} {case.formatted_path} query={case.query} body={case.body!r}"[:600]
    return (
        f"{check.name} {case.operation.label}: {check.failure_info.failure.message[:300]}\n    {request}\n    {answer}"
    )
