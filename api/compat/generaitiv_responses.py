"""Schemas of responses of the generaitiv API: generations, uploads and users."""

from marshmallow import fields

from schemas.fields import ResponseSchema
from schemas.jobs.lifecycle import JobState

WORKLOAD = {"pattern": "^0x[0-9a-f]{32}$", "example": "0x9f86d081884c7d659a2feaa0c55ad015"}
ADDRESS = {"pattern": "^0x[0-9a-fA-F]{40}$", "example": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}
OPTIONAL = {"optional": True}
JWT = {"optional": True, "description": "A token for watching, until the generation ends."}
WARNINGS = {"description": "One sentence for each field that was ignored or replaced."}


class GenerationCreated(ResponseSchema):
    """An accepted generation."""

    id = fields.String(metadata=WORKLOAD)
    workload_id = fields.String(metadata=WORKLOAD)
    jwt = fields.String(metadata=JWT)
    ws_url = fields.String(
        metadata={"optional": True, "format": "uri", "example": "wss://darkroom.example/v1/ws?id=0x9f"}
    )
    warnings = fields.List(fields.String(), metadata=OPTIONAL | WARNINGS)


class BlockedBy(ResponseSchema):
    """The limit that would forbid the generation now."""

    policy = fields.String(metadata={"example": "daily"})
    limit = fields.String(metadata={"description": "The limit in a sentence."})
    retry_after = fields.Integer(allow_none=True, metadata={"description": "Seconds to wait."})


class DryRun(ResponseSchema):
    """The cost of a generation."""

    dry_run = fields.Boolean(metadata={"enum": [True]})
    cost = fields.Integer(metadata={"description": "In pictures.", "example": 1})
    position = fields.Integer(metadata={"example": 1})
    blocked_by = fields.Nested(BlockedBy, allow_none=True)
    site = fields.String(metadata={"example": "studio"})
    warnings = fields.List(fields.String(), metadata=WARNINGS)


class GenerationProgress(ResponseSchema):
    """The progress that the page shows; empty if it shows none."""

    percentage = fields.Float(metadata=OPTIONAL)
    totalSteps = fields.Integer(allow_none=True, metadata=OPTIONAL)
    currentStep = fields.Integer(metadata=OPTIONAL)


class GenerationView(ResponseSchema):
    """A generation."""

    id = fields.String(metadata=WORKLOAD)
    status = fields.Enum(JobState, by_value=True)
    seq = fields.Integer(metadata={"description": "Grows with every visible change."})
    prompt = fields.String(metadata={"example": "a lighthouse at dusk"})
    model = fields.String(metadata={"description": "The site.", "example": "studio"})
    link = fields.Url(metadata=OPTIONAL | {"description": "The finished picture."})
    error = fields.String(metadata=OPTIONAL | {"description": "Why it failed."})
    error_code = fields.String(metadata=OPTIONAL)
    progress = fields.Nested(GenerationProgress, metadata=OPTIONAL)
    jwt = fields.String(metadata=JWT)
    ws_url = fields.String(metadata={"optional": True, "format": "uri"})


class TrainingView(ResponseSchema):
    """A trained model: a LoRA of the model library."""

    id = fields.String(metadata={"pattern": "^0x[0-9a-f]{64}$", "example": f"0x{7:064x}"})
    name = fields.String(metadata={"example": "Ukiyo-e"})
    description = fields.String()
    status = fields.String(metadata={"enum": ["COMPLETED"]})
    owner = fields.String(metadata=ADDRESS)
    source_model_slug = fields.String(metadata={"example": "stability-ai-sdxl"})


class UserInfo(ResponseSchema):
    """The wallet address of a key's owner."""

    address = fields.String(metadata=ADDRESS)


class UploadUrl(ResponseSchema):
    """The address to which the picture is to be put."""

    url = fields.Url()


class SuccessText(ResponseSchema):
    """It is done."""

    success = fields.String(metadata={"enum": ["true"]})
