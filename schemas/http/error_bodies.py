"""Schemas of error bodies: one for each API. ``api.http.error_responses`` builds the bodies."""

from marshmallow import fields

from schemas.fields import ResponseSchema

REQUEST_ID = {"description": "The id of the request, also in the header X-Request-ID.", "example": "5f0c2a9be1d47a36"}
CODE = {"description": "A stable code for programs; /docs lists all.", "example": "not_found"}
MESSAGE = {"description": "What is wrong, in a sentence for people.", "example": "There is no job with this id."}
PROBLEMS = {"description": "One sentence for each mistake.", "example": ["prompt: Missing data for required field."]}


class NativeErrorDetail(ResponseSchema):
    """An error and its hint."""

    code = fields.String(metadata=CODE)
    message = fields.String(metadata=MESSAGE)
    hint = fields.String(metadata={"description": "What to do.", "example": "Check the address and the id."})
    retryable = fields.Boolean(metadata={"description": "Whether the same request may succeed later."})
    details = fields.Raw(
        metadata={
            "optional": True,
            "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "object", "additionalProperties": True}],
            "description": "A sentence for each mistake of the request; for other errors, values by name.",
            "example": ["prompt: Missing data for required field."],
        }
    )


class NativeError(ResponseSchema):
    """An error of the native API."""

    error = fields.Nested(NativeErrorDetail)
    requestId = fields.String(allow_none=True, metadata=REQUEST_ID)


class LibraryError(ResponseSchema):
    """An error of the model library, of sessions and of keys."""

    error = fields.String(metadata=MESSAGE)
    code = fields.String(metadata=CODE)
    details = fields.List(fields.String(), metadata={"optional": True, **PROBLEMS})
    requestId = fields.String(allow_none=True, metadata=REQUEST_ID)


class GeneraitivError(ResponseSchema):
    """An error of the generaitiv API: its clients recognise one by ``message``."""

    message = fields.String(metadata=MESSAGE)
    errors = fields.List(fields.String(), metadata=PROBLEMS)
    code = fields.String(metadata=CODE)
    status = fields.Integer(metadata={"description": "The HTTP status.", "example": 404})
    requestId = fields.String(allow_none=True, metadata=REQUEST_ID)
    type = fields.String(metadata={"optional": True, "format": "uri", "description": "Of an exceeded quota."})
    title = fields.String(metadata={"optional": True, "description": "Of an exceeded quota."})
    violated_policies = fields.List(
        fields.String(allow_none=True),
        data_key="violated-policies",
        metadata={"optional": True, "description": "The names of the exceeded limits.", "example": ["submit"]},
    )
    upgrade_url = fields.String(
        allow_none=True, metadata={"optional": True, "description": "With status 402: where to get a plan."}
    )


class OpenAIErrorDetail(ResponseSchema):
    """An error in the format of OpenAI's API."""

    message = fields.String(metadata=MESSAGE)
    type = fields.String(metadata={"example": "invalid_request_error"})
    param = fields.String(allow_none=True, metadata={"description": "The field that is wrong.", "example": "size"})
    code = fields.String(allow_none=True, metadata=CODE)


class OpenAIError(ResponseSchema):
    """An error of OpenAI's API."""

    error = fields.Nested(OpenAIErrorDetail)


class WeightsError(ResponseSchema):
    """An error of the Weights API."""

    error = fields.String(metadata=MESSAGE)
    details = fields.List(fields.String(), metadata={"optional": True, **PROBLEMS})
    retryAfter = fields.Integer(
        allow_none=True, metadata={"optional": True, "description": "Seconds to wait, with status 429.", "example": 30}
    )
    policy = fields.String(metadata={"optional": True, "description": "The limit that was reached."})
    limit = fields.Integer(metadata={"optional": True, "description": "What the limit allows.", "example": 60})
    upgradeUrl = fields.String(
        allow_none=True, metadata={"optional": True, "description": "With status 402: where to get a plan."}
    )


class WeightsStatusError(WeightsError):
    """An error of the status route of the Weights API: a missing job has a status."""

    status = fields.String(metadata={"optional": True, "enum": ["NOT_FOUND"]})


class JsonRpcErrorDetail(ResponseSchema):
    """An error in the format of JSON-RPC."""

    code = fields.Integer(metadata={"description": "A code of JSON-RPC.", "example": -32600})
    message = fields.String(metadata=MESSAGE)
    data = fields.Raw(
        metadata={
            "optional": True,
            "description": "Of an error of the HTTP request: `code`, `retryable` and `requestId`.",
            "example": {"code": "unauthorized", "retryable": False, "requestId": "5f0c2a9be1d47a36"},
        }
    )


class JsonRpcError(ResponseSchema):
    """An error as a message of JSON-RPC."""

    jsonrpc = fields.String(metadata={"enum": ["2.0"]})
    id = fields.Raw(
        allow_none=True,
        metadata={"type": ["string", "integer", "null"], "description": "The request's; null if it has none."},
    )
    error = fields.Nested(JsonRpcErrorDetail)
