"""Path parameters by name: their patterns and bounds, which the views check themselves.

A route overrides one with ``parameters`` of its ``route`` decorator.
"""

from typing import Any

from schemas.library.requests import MAX_ID

HEX_ID = {"type": "string", "pattern": "^[0-9a-f]{32}$", "minLength": 32, "maxLength": 32}
JOB_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015"
LIBRARY_ID = {"type": "integer", "minimum": 1, "maximum": MAX_ID}
TOKEN_EXAMPLE = f"0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed{1:024x}"
ADDRESS = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
TOKEN_ID = {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}
SEGMENT = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[0-9A-Za-z_\-]+$"}


REQUEST_ID = {
    "in": "header",
    "name": "X-Request-ID",
    "schema": {"type": "string"},
    "description": "An id for the log, of up to 64 letters, digits, `_`, `.` and `-`; another one is replaced.",
    "example": "import-4711",
}


def _parameter(schema: dict[str, Any], description: str, example: Any) -> dict[str, Any]:
    return {"schema": schema, "description": description, "example": example}


PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "job_id": _parameter(HEX_ID, "The `id` of a job.", JOB_EXAMPLE),
    "upload_id": _parameter(HEX_ID, "The `id` of an upload.", JOB_EXAMPLE),
    "number": _parameter({"type": "integer", "minimum": 1}, "Which picture, counted from 1.", 1),
    "webhook_id": _parameter(
        {"type": "string", "pattern": "^wh_[0-9a-f]{24}$"}, "The `id` of a webhook.", f"wh_{JOB_EXAMPLE[:24]}"
    ),
    "delivery_id": _parameter(
        {"type": "string", "pattern": r"^msg_[0-9A-Za-z_\-]+$"}, "The `id` of a delivery.", f"msg_{JOB_EXAMPLE}"
    ),
    "name": _parameter({**SEGMENT, "pattern": r"^[0-9A-Za-z_][0-9A-Za-z_.\-]*$"}, "The name.", "studio"),
    "model": _parameter(
        {"type": "string", "minLength": 1, "pattern": r"^[0-9A-Za-z_.:\-]+$"}, "A site, or `SITE:MODEL`.", "studio"
    ),
    "model_id": _parameter(LIBRARY_ID, "The `id` of a model.", 1),
    "image_id": _parameter(LIBRARY_ID, "The `id` of an image of a model.", 1),
    "workload": _parameter(
        {"type": "string", "pattern": "^(0x)?[0-9a-fA-F]{32}$"}, "The `id` of a generation.", f"0x{JOB_EXAMPLE}"
    ),
    "slug": _parameter(SEGMENT, "The slug of a collection, an earlier one, or its virtual address.", "lighthouses"),
    "token_id": _parameter(TOKEN_ID, "The `tokenId` of a token.", TOKEN_EXAMPLE),
    "address": _parameter(ADDRESS, "The address of a person.", TOKEN_EXAMPLE[:42]),
    "nonce": _parameter(SEGMENT, "Part of the signed URL.", "a" * 32),
    "stem": _parameter(SEGMENT, "The name of the picture, without its extension.", "V1StGXR8_Z5jdHi6B-myT"),
    "file_name": _parameter(
        {"type": "string", "pattern": r"^[^/\x00-\x1f\x7f]+$", "minLength": 1},
        "The name of the file.",
        "lighthouse.png",
    ),
}
