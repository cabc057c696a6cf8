"""What clients of the library may ask for and write, as it is on the wire."""

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, pre_load, validate

from schemas.errors import Invalid
from schemas.fields import Text, WholeNumber, flatten_errors
from schemas.library import content_rating
from schemas.library.sanitize import strip_control_chars
from schemas.library.search_query import MAX_QUERY_CHARS

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 40
MAX_OFFSET = 100_000
MAX_NOTES_CHARS = 100_000
MAX_PROMPT_CHARS = 100_000
MAX_SEED = 2**64 - 1
MAX_TAGS = 100
MAX_ID = 2**31 - 1


class PositiveInteger(WholeNumber):
    """A page's number or length: a whole number from 1 on."""

    def __init__(self, **kwargs: Any) -> None:
        """``load_default`` as for any field."""
        super().__init__(validate=validate.Range(1), **kwargs)


class MultilineText(fields.String):
    """A text of any number of lines, without what no text has."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return strip_control_chars(str(super()._deserialize(value, attr, data, **kwargs)))


class StringList(fields.Field[tuple[str, ...]]):
    """Words between commas, as a query has them, or a list, as JSON has them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        listed = value.split(",") if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ValidationError("Must be words between commas, or a list of them.")
        if len(listed) > MAX_TAGS or any(len(one) > 200 for one in listed):
            raise ValidationError(f"At most {MAX_TAGS} of at most 200 characters.")
        return tuple(dict.fromkeys(Text().deserialize(one) for one in listed if one.strip()))


class ModelListQuery(Schema):
    """Which models; all of it is optional."""

    class Meta:
        """What nobody knows is not looked at."""

        unknown = EXCLUDE

    category = Text(validate=validate.Length(max=200))
    subcategory = Text(validate=validate.Length(max=200))
    base_model = Text(data_key="baseModel", validate=validate.Length(max=200))
    type = Text(validate=validate.Length(max=200))
    search = fields.String(load_default="", validate=validate.Length(max=MAX_QUERY_CHARS))
    tags = StringList(load_default=())
    tags_mode = fields.String(data_key="tagsMode", load_default="any", validate=validate.OneOf(["any", "all", "none"]))
    most_nsfw = WholeNumber(data_key="maxNsfwLevel", validate=validate.Range(0, content_rating.ALL_LEVELS))
    has_metadata = fields.Boolean(data_key="hasMetadata")
    sort = fields.String(validate=validate.Length(max=20))
    page = PositiveInteger(load_default=1)
    limit = PositiveInteger(load_default=DEFAULT_PAGE_SIZE)
    cursor = fields.String(validate=validate.Length(max=2000))
    include = StringList(load_default=())


def _line(most: int, least: int = 0, *, allow_none: bool = True) -> Text:
    return Text(allow_none=allow_none, validate=validate.Length(least, most))


class ModelChange(Schema):
    """What a person writes of a model; null takes back what was written, and nothing says that there is none."""

    class Meta:
        """A word that nobody knows would be lost."""

        unknown = RAISE

    name = _line(300, 1)
    type = _line(100, 1)
    baseModel = _line(100)
    creator = _line(200)
    notes = MultilineText(allow_none=True, validate=validate.Length(max=MAX_NOTES_CHARS))
    description = MultilineText(allow_none=True, validate=validate.Length(max=200_000))
    tags = StringList(allow_none=True)
    trainedWords = fields.List(_line(1000, 1, allow_none=False), allow_none=True, validate=validate.Length(max=100))
    nsfwLevel = WholeNumber(allow_none=True, validate=validate.Range(0, content_rating.ALL_LEVELS))


class ImageChange(Schema):
    """What is written of a picture."""

    class Meta:
        """As above."""

        unknown = RAISE

    prompt = MultilineText(allow_none=True, validate=validate.Length(max=MAX_PROMPT_CHARS))
    nsfwLevel = WholeNumber()
    sortOrder = WholeNumber(validate=validate.Range(0, 1_000_000))
    generationParams = fields.Dict(keys=fields.String())


class ImageForm(Schema):
    """What is sent beside a picture; a field with nothing in it is not there."""

    class Meta:
        """Clients send fields of their own."""

        unknown = EXCLUDE

    @pre_load
    def _without_empty(self, given: Mapping[str, str], **_kwargs: Any) -> dict[str, str]:
        return {name: value for name, value in given.items() if value.strip()}

    version_id = WholeNumber(data_key="versionId", validate=validate.Range(1, MAX_ID))
    prompt = MultilineText(validate=validate.Length(max=MAX_PROMPT_CHARS))
    negative_prompt = MultilineText(data_key="negativePrompt", validate=validate.Length(max=MAX_PROMPT_CHARS))
    seed = WholeNumber(validate=validate.Range(-1, MAX_SEED))
    steps = WholeNumber(validate=validate.Range(0, 100_000))
    cfg_scale = fields.Float(data_key="cfgScale", allow_nan=False, validate=validate.Range(-1000, 1000))
    sampler = MultilineText(validate=validate.Length(max=200))
    scheduler = MultilineText(validate=validate.Length(max=200))
    nsfw_level = WholeNumber(data_key="nsfwLevel")
    loras = fields.String()
    comfy_workflow = fields.String(data_key="comfyWorkflow")


class ImageUpload(ImageForm):
    """The same with the picture, as it is described; ``api.http.multipart`` reads it."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})


class FromJob(Schema):
    """A job whose picture is to be kept."""

    jobId = fields.String(required=True, validate=validate.Length(max=100))
    versionId = WholeNumber(validate=validate.Range(1, MAX_ID))
    number = WholeNumber(load_default=1, validate=validate.Range(1, 1000))
    nsfwLevel = WholeNumber()


def load_body(schema: Schema, body: Any) -> dict[str, Any]:
    """What ``given`` says by a schema; raises Invalid with all that is wrong."""
    if not isinstance(body, Mapping):
        raise Invalid(problems=["The body must be a JSON object."])
    try:
        read: dict[str, Any] = schema.load(body)
    except ValidationError as error:
        raise Invalid(problems=list(flatten_errors(error.normalized_messages(), body))) from error
    return read


def parse_nsfw_level(said: int | None) -> int:
    """The level that an upload means; raises Invalid."""
    level = content_rating.level_from_upload(said or 0)
    if level is None:
        raise Invalid(problems=[f"nsfwLevel: {said} is none; take 0 to 3, or one of 1, 2, 4, 8, 16, 32."])
    return level
