"""Schemas of the sections of a recipe file, one for each dataclass of ``schemas.sites.recipe``."""

import json
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from schemas.images import formats
from schemas.sites.documents import find_problems
from schemas.sites.recipe import (
    CanarySpec,
    CancelRequest,
    CancelSpec,
    CaptureSpec,
    ChoicesSpec,
    ConsentSpec,
    DocumentSpec,
    InputSpec,
    LorasSpec,
    QuotaSpec,
    SessionSpec,
    SiteLimits,
    TestedProgram,
    TestedSpec,
)
from schemas.sites.step_schemas import MAX_SETTLE_MS, DataclassSchema, SelectorsField, StepSchema, doc

MIN_CANARY_INTERVAL_S = 60
MAX_CANARY_PROMPT_LENGTH = 200
IMAGE_INPUT_KEYS = ("accept", "same_size_as")
OTHER_INPUT_KEYS = ("minimum", "maximum", "multiple_of", "max_length", "choices", "choices_from", "random", "default")


def _is_number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationError("Not a number.")


class CaptureSchema(DataclassSchema):
    """``[capture]``."""

    dataclass_type = CaptureSpec

    source = fields.String(
        validate=validate.OneOf(["shown", "download"]),
        metadata=doc("`shown`: elements of the page. `download`: files that the page offers while `steps` run."),
    )
    selectors = SelectorsField("The elements; default: those of `observe.done`.")
    many = fields.Boolean(metadata=doc("Whether each matching element is a picture of the job, not only the first."))
    steps = fields.List(fields.Nested(StepSchema), metadata=doc("For `download`: the steps that start it."))

    @validates_schema
    def require_download_steps(self, data: dict[str, Any], **_: Any) -> None:
        """Require steps that start the download."""
        if data.get("source") == "download" and not data.get("steps"):
            raise ValidationError("Needed if source is 'download': the steps that start it.", "steps")


class ChoicesSchema(DataclassSchema):
    """``[inputs.NAME.choices_from]``."""

    dataclass_type = ChoicesSpec

    open = fields.List(
        fields.Nested(StepSchema), load_default=list, metadata=doc("Steps after which the choices are visible.")
    )
    item = SelectorsField("The elements whose texts are the choices.", required=True)
    close = fields.List(
        fields.Nested(StepSchema), load_default=list, metadata=doc("Steps that restore the page afterwards.")
    )


class DocumentSchema(DataclassSchema):
    """``[documents.NAME]``; a ``file`` beside the recipe has been read into ``content`` before."""

    dataclass_type = DocumentSpec

    content = fields.String(
        required=True, metadata=doc("The document as JSON text; or `file`, the name of a file beside the recipe.")
    )
    fields_ = fields.Dict(
        data_key="fields",
        attribute="fields",
        keys=fields.String(),
        values=fields.String(),
        metadata=doc("Templates by path; a path may begin with a node's id, or its title or class if unique."),
    )

    @post_load
    def build(self, data: dict[str, Any], **_: Any) -> DocumentSpec:
        """Build the instance with the parsed document, and check that each path exists in it."""
        try:
            content = json.loads(data["content"])
        except ValueError as error:
            raise ValidationError(f"Not JSON: {error}.", "content") from error
        document = DocumentSpec(**data | {"content": content})
        if problems := find_problems(content, tuple(document.fields)):
            raise ValidationError(problems, "fields")
        return document


class InputSchema(DataclassSchema):
    """``[inputs.NAME]``."""

    dataclass_type = InputSpec

    type = fields.String(
        required=True,
        validate=validate.OneOf(["string", "integer", "number", "boolean", "image"]),
        metadata=doc("The type of its values."),
    )
    label = fields.String(metadata=doc("Its name for people."))
    minimum = fields.Raw(validate=_is_number, metadata=doc("The smallest allowed value."))
    maximum = fields.Raw(validate=_is_number, metadata=doc("The largest allowed value."))
    multiple_of = fields.Integer(validate=validate.Range(min=1), metadata=doc("Only multiples of it are allowed."))
    max_length = fields.Integer(validate=validate.Range(min=1), metadata=doc("The maximum number of characters."))
    choices = fields.List(fields.String(), metadata=doc("The allowed values."))
    choices_from = fields.Nested(ChoicesSchema, metadata=doc("Where the page lists the allowed values."))
    random = fields.Boolean(
        metadata=doc("Draw a whole number between the bounds if the caller sends none; the job states the number.")
    )
    required = fields.Boolean(metadata=doc("Whether a job without this input is refused."))
    accept = fields.List(
        fields.String(validate=validate.OneOf(sorted(formats.ACCEPTED_MEDIA_TYPES))),
        validate=validate.Length(min=1),
        metadata=doc("For an image: the media types that the page takes; default: all that Darkroom knows."),
    )
    same_size_as = fields.String(
        metadata=doc("For an image, such as a mask: the image input whose width and height it must have.")
    )
    default = fields.Raw(metadata=doc("The value that the page uses if the input is omitted; for information."))

    @validates_schema
    def require_random_bounds(self, data: dict[str, Any], **_: Any) -> None:
        """Require an integer type with both bounds for random numbers."""
        if data.get("random") and not (data["type"] == "integer" and {"minimum", "maximum"} <= set(data)):
            raise ValidationError("Needs type 'integer', a minimum and a maximum.", "random")

    @validates_schema
    def check_image_keys(self, data: dict[str, Any], **_: Any) -> None:
        """Reject keys of images for other types, and keys of other types for images."""
        is_image = data["type"] == "image"
        for key in OTHER_INPUT_KEYS if is_image else IMAGE_INPUT_KEYS:
            if key in data:
                raise ValidationError(f"An input of type {data['type']!r} has no such key.", key)

    @validates_schema
    def check_bounds(self, data: dict[str, Any], **_: Any) -> None:
        """Require the minimum not to exceed the maximum."""
        if "minimum" in data and "maximum" in data and data["minimum"] > data["maximum"]:
            raise ValidationError("Is more than the maximum.", "minimum")


class LorasSchema(DataclassSchema):
    """``[loras]``."""

    dataclass_type = LorasSpec

    open = fields.List(fields.Nested(StepSchema), load_default=list, metadata=doc("Steps that open the catalogue."))
    close = fields.List(fields.Nested(StepSchema), load_default=list, metadata=doc("Steps that close it."))
    query = SelectorsField("The search field.")
    item = SelectorsField("An entry of the catalogue.")
    name = SelectorsField("In an entry: its name.")
    add = SelectorsField("In an entry: the button that adds it.")
    remove = SelectorsField("On the page: the button that removes a selected LoRA.")
    syntax = fields.String(
        metadata=doc("How the prompt names a LoRA, with `{{lora}}`; then no catalogue is needed."),
    )
    image = SelectorsField("In an entry: its picture.")
    tags = SelectorsField("In an entry: its tags.")
    description = SelectorsField("In an entry: its description.")
    settle_ms = fields.Integer(
        validate=validate.Range(0, MAX_SETTLE_MS),
        metadata=doc("Milliseconds to pause after typing, until the list has changed."),
    )

    @validates_schema
    def require_syntax_or_catalogue(self, data: dict[str, Any], **_: Any) -> None:
        """Require the prompt syntax, or a catalogue that can be searched."""
        if "syntax" not in data:
            for key in ("query", "item", "name", "add"):
                if key not in data:
                    raise ValidationError("Needed if there is no 'syntax'.", key)
        elif "{{lora}}" not in data["syntax"]:
            raise ValidationError("Must contain {{lora}}.", "syntax")


class CancelRequestSchema(DataclassSchema):
    """An entry of ``[[cancel.requests]]``."""

    dataclass_type = CancelRequest

    url = fields.String(
        required=True,
        validate=validate.Regexp(
            r"^\{\{url\}\}", error="Must begin with {{{{url}}}}, because it goes to the site itself."
        ),
        metadata=doc("Its URL, which begins with `{{url}}`."),
    )
    method = fields.String(validate=validate.OneOf(["POST", "GET", "PUT", "DELETE"]), metadata=doc("Default: POST."))
    body = fields.String(metadata=doc("Its body as JSON text; `{{id}}` is the id that the page received."))


class CancelSchema(DataclassSchema):
    """``[cancel]``."""

    dataclass_type = CancelSpec

    steps = fields.List(
        fields.Nested(StepSchema), metadata=doc("Steps that stop the program; only while it works on this job.")
    )
    requests = fields.List(
        fields.Nested(CancelRequestSchema),
        metadata=doc("Requests that stop the program; only while it works on this job."),
    )
    waiting_steps = fields.List(
        fields.Nested(StepSchema), metadata=doc("Steps that remove this job from the program's queue.")
    )
    waiting_requests = fields.List(
        fields.Nested(CancelRequestSchema), metadata=doc("Requests that remove this job from the program's queue.")
    )
    id_url = fields.String(metadata=doc("The end of the path of the request by which the page submits the prompt."))
    id = fields.String(metadata=doc("Path of the prompt's id in the answer to that request, for `{{id}}`."))
    unstoppable = fields.Boolean(metadata=doc("True if nothing stops the program; the end of the job says so."))

    @validates_schema
    def require_a_way(self, data: dict[str, Any], **_: Any) -> None:
        """Require a way to stop the program, or the statement that there is none."""
        ways = ("steps", "requests", "waiting_steps", "waiting_requests")
        if bool(data.get("unstoppable")) == any(data.get(way) for way in ways):
            raise ValidationError(f"Either this or one of {', '.join(ways)} is required.", "unstoppable")
        if ("id" in data) != ("id_url" in data):
            raise ValidationError("'id' and 'id_url' belong together.", "id")
        for way in ("requests", "waiting_requests"):
            for request in data.get(way, ()):
                if "{{id}}" in request.url + request.body and "id" not in data:
                    raise ValidationError("A request contains {{id}}, so this key is needed.", "id")


class QuotaSchema(DataclassSchema):
    """``[quota]``."""

    dataclass_type = QuotaSpec

    used = SelectorsField("The number used.", required=True)
    limit = SelectorsField("The number allowed.", required=True)


class LimitsSchema(DataclassSchema):
    """``[limits]``; the defaults are gentle."""

    dataclass_type = SiteLimits

    concurrency = fields.Integer(
        validate=validate.Range(min=0),
        metadata=doc("Maximum number of concurrent jobs, over all workers; default 1, 0 for no limit."),
    )
    min_interval_s = fields.Float(
        validate=validate.Range(min=0), metadata=doc("Minimum seconds between two starts, over all workers; default 1.")
    )
    daily = fields.Integer(
        validate=validate.Range(min=0),
        metadata=doc("Maximum number of starts per day (UTC), over all workers; further jobs wait. Default: no limit."),
    )


class SessionSchema(DataclassSchema):
    """``[session]``."""

    dataclass_type = SessionSpec

    required = fields.Boolean(metadata=doc("Whether every job needs a login."))
    login_url = fields.Url(
        schemes={"https", "http"}, require_tld=False, metadata=doc("Where people sign in; default: `url`.")
    )
    signed_in = SelectorsField("An element that only a signed-in user sees.")


class CanarySchema(DataclassSchema):
    """``[canary]``."""

    dataclass_type = CanarySpec

    every_s = fields.Integer(
        required=True,
        validate=validate.Range(min=MIN_CANARY_INTERVAL_S),
        metadata=doc("Seconds between two canary jobs."),
    )
    prompt = fields.String(
        required=True, validate=validate.Length(1, MAX_CANARY_PROMPT_LENGTH), metadata=doc("Its prompt.")
    )
    inputs = fields.Dict(keys=fields.String(), metadata=doc("Its inputs; keep the job small."))


class TestedProgramSchema(DataclassSchema):
    """``[[tested.programs]]``."""

    dataclass_type = TestedProgram

    name = fields.String(required=True, metadata=doc("The program."))
    versions = fields.List(
        fields.String(), required=True, validate=validate.Length(min=1), metadata=doc("Its versions.")
    )
    stand_in = fields.String(metadata=doc("The stand-in for the program, if the program itself was not run."))


class TestedSchema(DataclassSchema):
    """``[tested]``."""

    dataclass_type = TestedSpec

    with_ = fields.String(data_key="with", required=True, metadata=doc("What it was tested with, in words."))
    real = fields.Boolean(required=True, metadata=doc("Whether that was the real program or site."))
    programs = fields.List(fields.Nested(TestedProgramSchema), metadata=doc("The programs and versions."))

    @validates_schema
    def check_stand_ins(self, data: dict[str, Any], **_: Any) -> None:
        """Reject the claim that a stand-in is the real program."""
        if data.get("real") and any(program.stand_in for program in data.get("programs", ())):
            raise ValidationError("Must be false: a program was not run itself.", "real")


class ConsentSchema(DataclassSchema):
    """``[consent]``."""

    dataclass_type = ConsentSpec

    ownership = fields.String(
        required=True,
        validate=validate.OneOf(["own", "terms"]),
        metadata=doc("`own`: your page. `terms`: another's page whose terms allow automation; robots.txt is obeyed."),
    )
    terms_url = fields.Url(
        schemes={"https", "http"},
        metadata=doc("Needed with `terms`: the terms that `./darkroom sites accept` shows."),
    )

    @validates_schema
    def require_terms_url(self, data: dict[str, Any], **_: Any) -> None:
        """Require the URL of the terms that allow automation of another's page."""
        if data.get("ownership") == "terms" and not data.get("terms_url"):
            raise ValidationError("Needed if ownership is 'terms'.", "terms_url")
