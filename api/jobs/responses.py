"""Schemas of responses about jobs that no other module describes: ``schemas.jobs.job`` has ``JobView``."""

from marshmallow import fields

from schemas.fields import ResponseSchema


class CancelledJobs(ResponseSchema):
    """How many jobs were cancelled."""

    cancelled = fields.Integer(metadata={"description": "Waiting jobs, which have ended.", "example": 2})
    requested = fields.Integer(metadata={"description": "Running jobs, which end soon.", "example": 1})


class Deleted(ResponseSchema):
    """The result of a deletion."""

    deleted = fields.Boolean(metadata={"enum": [True]})


class ViewportView(ResponseSchema):
    """The size of a screenshot in CSS pixels."""

    width = fields.Integer(metadata={"example": 1280})
    height = fields.Integer(metadata={"example": 720})


class FailureReportView(ResponseSchema):
    """The state of the page when the attempt failed, with secrets redacted."""

    url = fields.String(metadata={"description": "The page's address.", "example": "http://127.0.0.1:7860/"})
    screenshot = fields.String(allow_none=True, metadata={"description": "A JPEG as a `data:` URL."})
    viewport = fields.Nested(ViewportView, allow_none=True)
    console = fields.List(fields.String(), metadata={"description": "The newest messages of the page's console."})
    requests = fields.List(fields.String(), metadata={"description": "The newest failed requests of the page."})
    dom = fields.String(allow_none=True, metadata={"description": "The page's HTML."})
    explanation = fields.Dict(
        allow_none=True,
        metadata={"additionalProperties": True, "description": "The step whose selectors matched nothing."},
    )
