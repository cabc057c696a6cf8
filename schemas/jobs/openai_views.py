"""Schemas of answers of OpenAI's Images API, for the description of the API."""

from marshmallow import Schema, fields


class ModelView(Schema):
    """A site as a model."""

    id = fields.String(required=True, metadata={"example": "studio"})
    object = fields.Constant("model", required=True, metadata={"type": "string", "enum": ["model"]})
    created = fields.Integer(required=True, metadata={"description": "Always 0: sites have no date."})
    owned_by = fields.String(required=True, metadata={"example": "darkroom"})


class ModelListView(Schema):
    """All models."""

    object = fields.Constant("list", required=True, metadata={"type": "string", "enum": ["list"]})
    data = fields.List(fields.Nested(ModelView), required=True)


class PictureView(Schema):
    """A picture: its bytes, its URL, or both."""

    b64_json = fields.String(metadata={"description": "The bytes in base64."})
    url = fields.Url(metadata={"description": "Needs no key, and is valid until the job expires."})


class UsageDetailsView(Schema):
    """Always zero."""

    image_tokens = fields.Integer(required=True)
    text_tokens = fields.Integer(required=True)


class UsageView(Schema):
    """Always zero: sites count no tokens."""

    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    total_tokens = fields.Integer(required=True)
    input_tokens_details = fields.Nested(UsageDetailsView, required=True)


class ImagesView(Schema):
    """The pictures of a request, in the order of its jobs."""

    created = fields.Integer(required=True, metadata={"description": "Unix seconds."})
    data = fields.List(fields.Nested(PictureView), required=True)
    output_format = fields.String(metadata={"description": "`png`, `jpeg`, `webp`, or what else the site makes."})
    size = fields.String(metadata={"example": "512x512"})
    quality = fields.String()
    background = fields.String()
    usage = fields.Nested(UsageView, required=True)
