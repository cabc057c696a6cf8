"""The arguments of the tools that agents call (MCP), and what each argument of ``generate_image`` means to a site."""

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from schemas.errors import Invalid
from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, Text, WholeNumber, flatten_errors
from schemas.jobs.idempotency import KEY_PATTERN, MAX_KEY_LENGTH
from schemas.library.search_query import MAX_QUERY_CHARS
from schemas.sites.input_aliases import ClientApi, ClientField

# The usual limit of a client for one call is a minute; the answer has to come before.
DEFAULT_WAIT_S = 50
MAX_WAIT_S = 600
MAX_CURSOR_CHARS = 2000
MAX_NAME_CHARS = 200
JOB_ID_PATTERN = r"^[0-9a-f]{32}$"

AGENTS = ClientApi(
    title="MCP",
    fields=(
        ClientField("prompt", ("prompt",)),
        ClientField("site", ("site",)),
        ClientField("lora", ("lora",)),
        ClientField("negative_prompt", ("negative_prompt",)),
        ClientField("seed", ("seed",)),
        ClientField("width", ("width",)),
        ClientField("height", ("height",)),
        ClientField("steps", ("steps",)),
        ClientField("guidance", ("guidance",)),
        ClientField("sampler", ("sampler",)),
        ClientField("image", ("image",)),
        ClientField("mask", ("mask",)),
        ClientField("strength", ("strength",)),
        ClientField("priority", ("priority",)),
        ClientField("webhook", ("webhook",)),
        ClientField("idempotency_key", ("answer",)),
        ClientField("wait_seconds", ("answer",)),
    ),
    refuses_unknown=True,
)
PICTURE = {
    "type": "string",
    "description": 'A picture: "job:ID/1" for the first picture of an earlier job, "upload:ID" for an upload, '
    "or a data: URL of up to 8 MiB. URLs are not fetched.",
}


class Arguments(Schema):
    """The arguments of a tool; unknown ones are an error that names them."""

    class Meta:
        """A misspelt argument would be ignored otherwise."""

        unknown = RAISE


def _job_id() -> fields.String:
    return fields.String(
        required=True,
        validate=validate.Regexp(JOB_ID_PATTERN, error="Not the id of a job: 32 hexadecimal digits."),
        metadata={"description": "The id of one of your jobs, 32 hexadecimal digits."},
    )


def _wait_seconds(default: int) -> WholeNumber:
    return WholeNumber(
        load_default=default,
        validate=validate.Range(0, MAX_WAIT_S),
        metadata={"description": "How long to wait for the end of the job. It goes on if it takes longer."},
    )


def _name(description: str) -> Text:
    return Text(validate=validate.Length(1, MAX_NAME_CHARS), metadata={"description": description})


def _cursor() -> fields.String:
    return fields.String(
        validate=validate.Length(max=MAX_CURSOR_CHARS),
        metadata={"description": "`nextCursor` of the previous answer, for the next page."},
    )


def _limit(default: int) -> WholeNumber:
    return WholeNumber(
        load_default=default, validate=validate.Range(1, 50), metadata={"description": "How many results at most."}
    )


class GenerateImage(Arguments):
    """The arguments of ``generate_image``. The job request and the site's recipe check what they mean."""

    prompt = fields.String(
        required=True,
        metadata={"description": "What to generate, in words.", "minLength": 1, "maxLength": MAX_PROMPT_LENGTH},
    )
    site = fields.String(metadata={"description": "Name of a site of list_sites; the default site if omitted."})
    lora = fields.String(
        metadata={
            "description": "Name of a LoRA or style of that site; search_models finds them.",
            "maxLength": MAX_LORA_NAME_LENGTH,
        }
    )
    negative_prompt = fields.String(metadata={"description": "What the picture must not show."})
    seed = fields.Raw(metadata={"type": "integer", "description": "The same seed makes the same picture again."})
    width = fields.Raw(metadata={"type": "integer", "description": "Pixels; list_sites has each site's range."})
    height = fields.Raw(metadata={"type": "integer", "description": "Pixels; list_sites has each site's range."})
    steps = fields.Raw(metadata={"type": "integer", "description": "Sampling steps."})
    guidance = fields.Raw(metadata={"type": "number", "description": "How closely to follow the prompt (CFG scale)."})
    sampler = fields.String(metadata={"description": "Name of a sampler of the site."})
    image = fields.Raw(metadata=PICTURE)
    mask = fields.Raw(metadata=PICTURE)
    strength = fields.Raw(metadata={"type": "number", "description": "How much of `image` to change, from 0 to 1."})
    inputs = fields.Dict(
        keys=fields.String(),
        load_default=dict,
        metadata={
            "description": "Further inputs of the site by their names in list_sites.",
            "additionalProperties": True,
        },
    )
    priority = fields.Raw(
        metadata={"type": "integer", "description": "Order among your own jobs, from -10 to 10; the highest first."}
    )
    webhook = fields.String(metadata={"description": "URL that gets the final event of this job."})
    idempotency_key = fields.String(
        validate=validate.Regexp(
            f"^{KEY_PATTERN.pattern}$",
            error=f"Must be 1 to {MAX_KEY_LENGTH} ASCII characters, without spaces.",
        ),
        metadata={"description": "A call repeated with the same key gets the first call's job, not a second picture."},
    )
    wait_seconds = _wait_seconds(DEFAULT_WAIT_S)


class GetJob(Arguments):
    """The arguments of ``get_job``."""

    job_id = _job_id()
    wait_seconds = _wait_seconds(0)


class CancelJob(Arguments):
    """The arguments of ``cancel_job``."""

    job_id = _job_id()


class ListSites(Arguments):
    """The arguments of ``list_sites``."""

    site = _name("Only this site, with all choices of its inputs.")


class SearchModels(Arguments):
    """The arguments of ``search_models``."""

    query = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_QUERY_CHARS),
        metadata={"description": "Words and filters, such as `base:sdxl -tag:style dim:>=32`; all if empty."},
    )
    site = _name("Also search the LoRAs or styles that this site offers; the default site if omitted.")
    limit = _limit(10)
    cursor = _cursor()


class SearchGallery(Arguments):
    """The arguments of ``search_gallery``."""

    query = Text(
        load_default="",
        validate=validate.Length(max=MAX_QUERY_CHARS),
        metadata={"description": "Words that all have to occur in name, description, attributes or collection."},
    )
    collection = _name("Only this collection, by its slug.")
    # Those of ``schemas.gallery.pages.ExplicitFilter``.
    explicit = fields.String(
        load_default="exclude",
        validate=validate.OneOf(["include", "exclude", "only"]),
        metadata={"description": "Whether explicit pictures are included, excluded, or the only ones."},
    )
    limit = _limit(10)
    cursor = _cursor()


def load_arguments(schema: type[Arguments], values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the checked arguments of a tool; raises Invalid with one sentence for each mistake."""
    given = {name: value for name, value in (values or {}).items() if value is not None}
    try:
        loaded: dict[str, Any] = schema().load(given)
    except ValidationError as error:
        raise Invalid(problems=list(flatten_errors(error.normalized_messages(), given))) from error
    return loaded
