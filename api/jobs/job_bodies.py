"""The bodies of submissions: JSON, or a form whose files are pictures for the site's image inputs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import request

from api.http import multipart
from api.http.request_bodies import read_body
from schemas.errors import Invalid
from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, MAX_URL_LENGTH, PLAIN_TEXT, VISIBLE_TEXT
from schemas.http.webhook_url import WebhookUrlField
from schemas.images.input_images import ImageSource
from schemas.jobs.job import MAX_PRIORITY, MIN_PRIORITY, JobRequestSchema

# Room for data: URLs; larger pictures come as files of a form.
MAX_JSON_BYTES = 24 * 1024 * 1024
MAX_FILES = 8
# Fields of a form that are not inputs.
JOB_FIELDS = frozenset(JobRequestSchema().fields)
FORM_SCHEMA = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string", "minLength": 1, "maxLength": MAX_PROMPT_LENGTH, "pattern": VISIBLE_TEXT},
        "site": {"type": "string", "pattern": PLAIN_TEXT},
        "lora": {"type": "string", "minLength": 1, "maxLength": MAX_LORA_NAME_LENGTH, "pattern": VISIBLE_TEXT},
        "priority": {"type": "integer", "minimum": MIN_PRIORITY, "maximum": MAX_PRIORITY},
        "webhook": {"type": "string", "maxLength": MAX_URL_LENGTH, "pattern": WebhookUrlField.pattern},
        "inputs": {"type": "string", "description": "Further inputs as a JSON object.", "example": '{"seed": 7}'},
    },
    "required": ["prompt"],
    # The text or the file: a choice of both is more than generators of clients understand.
    "additionalProperties": {
        "type": "string",
        "description": "An input of the site by its name; for an image input a file: JPEG, PNG, WebP, GIF or AVIF.",
    },
}
REQUEST_BODY = {
    "required": True,
    "content": {"application/json": {"schema": JobRequestSchema}, "multipart/form-data": {"schema": FORM_SCHEMA}},
}


@contextmanager
def job_body() -> Iterator[dict[str, Any]]:
    """Yield the fields of a submission in the native API; files of a form live as long as the block.

    Raises:
        Invalid: the body is malformed.
    """
    if is_form():
        with form_fields() as fields:
            yield _nest_inputs(fields)
    else:
        yield json_body()


def is_form() -> bool:
    """Whether the body is a form that may have files."""
    return request.mimetype == "multipart/form-data"


def json_body() -> dict[str, Any]:
    """Return the body as a JSON object; an absent body is an empty one."""
    read_body(MAX_JSON_BYTES)
    # Parsed already; the result is cached.
    body = request.get_json() if request.is_json and request.get_data() else {}
    if not isinstance(body, dict):
        raise Invalid(problems=["The body must be a JSON object."])
    return body


@contextmanager
def form_fields(max_files: int = MAX_FILES) -> Iterator[dict[str, Any]]:
    """Yield the fields of the request's form: texts, and the sources of pictures for files."""
    with multipart.receive_files(max_files) as form:
        files = {name: ImageSource(file=file.file, sha256=file.sha256) for name, file in form.files.items()}
        yield {**form.fields, **files}


def _nest_inputs(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a form in the form of the JSON body: whatever is not a field of a job is an input."""
    text = fields.get("inputs", "{}")
    try:
        inputs = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        inputs = None
    if not isinstance(inputs, dict):
        raise Invalid(problems=["inputs: In a form, this field must be a JSON object."])
    common = {name: value for name, value in fields.items() if name in JOB_FIELDS and name != "inputs"}
    further = {name: value for name, value in fields.items() if name not in JOB_FIELDS}
    return {**common, "inputs": {**inputs, **further}}
