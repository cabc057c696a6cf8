"""Request schemas of the library API: model lists, edits of models and images, image uploads."""

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, pre_load, validate

from schemas.errors import Invalid
from schemas.fields import BoundedList, Text, WholeNumber, flatten_errors
from schemas.library import content_rating
from schemas.library.sanitize import strip_control_chars
from schemas.library.search_query import MAX_QUERY_CHARS, SortKey

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 40
MAX_OFFSET = 100_000
MAX_NOTES_CHARS = 100_000
MAX_DESCRIPTION_CHARS = 200_000
MAX_PROMPT_CHARS = 100_000
MAX_SEED = 2**64 - 1
MAX_TAGS = 100
MAX_TAG_CHARS = 200
MAX_ID = 2**31 - 1
NSFW_MASK_RANGE = validate.Range(0, content_rating.ALL_LEVELS)

# The values that ``content_rating.level_from_upload`` accepts.
UPLOAD_LEVELS = {"enum": [0, 1, 2, 3, 4, 8, 16, 32], "description": "0 to 3, or one level of content ratings."}
SORT_PATTERN = rf"^([+-]?({'|'.join(SortKey)}))?$"


class PositiveInteger(WholeNumber):
    """An integer from 1 on."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(1), **kwargs)


class MultilineText(fields.String):
    """A text of any number of lines; control characters and lone surrogates are removed."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return strip_control_chars(str(super()._deserialize(value, attr, data, **kwargs)))


class StringList(fields.Field[tuple[str, ...]]):
    """A list of strings, in a query separated by commas; blank strings and duplicates are removed."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        strings = value.split(",") if isinstance(value, str) else value
        if not isinstance(strings, list) or not all(isinstance(string, str) for string in strings):
            raise ValidationError("Must be a list of strings, or a string with commas.")
        if len(strings) > MAX_TAGS or any(len(string) > MAX_TAG_CHARS for string in strings):
            raise ValidationError(f"Must be at most {MAX_TAGS} strings of at most {MAX_TAG_CHARS} characters.")
        return tuple(dict.fromkeys(Text().deserialize(string) for string in strings if string.strip()))


class ModelListQuery(Schema):
    """The query of a model list; every parameter is optional."""

    class Meta:
        """Unknown parameters are ignored."""

        unknown = EXCLUDE

    category = Text(validate=validate.Length(max=200))
    subcategory = Text(validate=validate.Length(max=200))
    base_model = Text(data_key="baseModel", validate=validate.Length(max=200))
    type = Text(validate=validate.Length(max=200))
    search = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_QUERY_CHARS),
        metadata={"description": "Words and filters, such as `base:sdxl -tag:style dim:>=32`.", "example": "ukiyo"},
    )
    tags = StringList(load_default=())
    tags_mode = fields.String(data_key="tagsMode", load_default="any", validate=validate.OneOf(["any", "all", "none"]))
    max_nsfw = WholeNumber(data_key="maxNsfwLevel", validate=NSFW_MASK_RANGE)
    has_metadata = fields.Boolean(data_key="hasMetadata")
    sort = fields.String(
        validate=validate.Length(max=20),
        metadata={
            "pattern": SORT_PATTERN,
            "description": "A key, with `-` for the largest first or `+` for the smallest first.",
            "example": "-size",
        },
    )
    page = PositiveInteger(load_default=1)
    limit = PositiveInteger(load_default=DEFAULT_PAGE_SIZE)
    cursor = fields.String(
        validate=validate.Length(max=2000), metadata={"description": "The `nextCursor` of the previous page."}
    )
    include = StringList(load_default=(), metadata={"description": "`versions`: with the versions of each model."})


def _line(max_chars: int, min_chars: int = 0, *, allow_none: bool = True) -> Text:
    return Text(allow_none=allow_none, validate=validate.Length(min_chars, max_chars))


class ModelChange(Schema):
    """The edits of a model: null withdraws an edit, an empty value overrides the other sources with nothing."""

    class Meta:
        """Unknown fields are an error: they would be lost."""

        unknown = RAISE

    name = _line(300, 1)
    type = _line(100, 1)
    baseModel = _line(100)
    creator = _line(200)
    notes = MultilineText(allow_none=True, validate=validate.Length(max=MAX_NOTES_CHARS))
    description = MultilineText(allow_none=True, validate=validate.Length(max=MAX_DESCRIPTION_CHARS))
    tags = StringList(allow_none=True)
    trainedWords = BoundedList(_line(1000, 1, allow_none=False), allow_none=True, validate=validate.Length(max=100))
    nsfwLevel = WholeNumber(allow_none=True, validate=NSFW_MASK_RANGE)


class ImageChange(Schema):
    """The changes of an image."""

    class Meta:
        """Unknown fields are an error: they would be lost."""

        unknown = RAISE

    prompt = MultilineText(allow_none=True, validate=validate.Length(max=MAX_PROMPT_CHARS))
    nsfwLevel = WholeNumber(metadata=UPLOAD_LEVELS)
    sortOrder = WholeNumber(validate=validate.Range(0, 1_000_000))
    generationParams = fields.Dict(keys=fields.String())


class ImageForm(Schema):
    """The form fields beside an uploaded image; blank fields count as absent."""

    class Meta:
        """Unknown fields are ignored: clients send fields of their own."""

        unknown = EXCLUDE

    @pre_load
    def _drop_blank(self, form: Mapping[str, str], **_kwargs: Any) -> dict[str, str]:
        return {name: value for name, value in form.items() if value.strip()}

    version_id = WholeNumber(data_key="versionId", validate=validate.Range(1, MAX_ID))
    prompt = MultilineText(validate=validate.Length(max=MAX_PROMPT_CHARS))
    negative_prompt = MultilineText(data_key="negativePrompt", validate=validate.Length(max=MAX_PROMPT_CHARS))
    seed = WholeNumber(validate=validate.Range(-1, MAX_SEED))
    steps = WholeNumber(validate=validate.Range(0, 100_000))
    cfg_scale = fields.Float(data_key="cfgScale", allow_nan=False, validate=validate.Range(-1000, 1000))
    sampler = MultilineText(validate=validate.Length(max=200))
    scheduler = MultilineText(validate=validate.Length(max=200))
    nsfw_level = WholeNumber(data_key="nsfwLevel", metadata=UPLOAD_LEVELS)
    loras = fields.String()
    comfy_workflow = fields.String(data_key="comfyWorkflow")


class ImageUpload(ImageForm):
    """The whole upload form, for the API description only: ``api.http.multipart`` reads the file itself."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})


class FromJob(Schema):
    """A request to keep an image of a job."""

    jobId = fields.String(required=True, validate=validate.Length(max=100))
    versionId = WholeNumber(validate=validate.Range(1, MAX_ID))
    number = WholeNumber(load_default=1, validate=validate.Range(1, 1000))
    nsfwLevel = WholeNumber(metadata=UPLOAD_LEVELS)


def load_body(schema: Schema, body: Any) -> dict[str, Any]:
    """Validate a JSON body; raises Invalid with all problems."""
    if not isinstance(body, Mapping):
        raise Invalid(problems=["The body must be a JSON object."])
    try:
        values: dict[str, Any] = schema.load(body)
    except ValidationError as error:
        raise Invalid(problems=list(flatten_errors(error.normalized_messages(), body))) from error
    return values


def parse_nsfw_level(value: int | None) -> int:
    """Return the level for an upload's value; raises Invalid."""
    level = content_rating.level_from_upload(value or 0)
    if level is None:
        raise Invalid(problems=[f"nsfwLevel: {value} is not a level; use 0 to 3, or one of 1, 2, 4, 8, 16, 32."])
    return level
