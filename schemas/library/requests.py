"""Owns what clients of the library may ask for and write, as it is on the wire.

Used by ``api.models`` and ``api.model_images``.
"""

import json
from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validate

from schemas.errors import Invalid
from schemas.fields import Text, WholeNumber, sentences
from schemas.library import nsfw
from schemas.library.query import LONGEST_QUERY

LARGEST_PAGE = 100
USUAL_PAGE = 40
DEEPEST_OFFSET = 100_000
LONGEST_NOTES = 100_000
LONGEST_PROMPT = 100_000
LARGEST_SEED = 2**64 - 1
MOST_TAGS = 100
MOST_LORAS = 100
DEEPEST = 64


class Page(WholeNumber):
    """A page's number or length: a whole number from 1 on."""

    def __init__(self, **kwargs: Any) -> None:
        """``load_default`` as for any field."""
        super().__init__(validate=validate.Range(1), **kwargs)


class Labels(fields.Field[tuple[str, ...]]):
    """Words between commas, as a query has them, or a list, as JSON has them."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        listed = value.split(",") if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ValidationError("Must be words between commas, or a list of them.")
        if len(listed) > MOST_TAGS or any(len(one) > 200 for one in listed):
            raise ValidationError(f"At most {MOST_TAGS} of at most 200 characters.")
        return tuple(dict.fromkeys(Text().deserialize(one) for one in listed if one.strip()))


class ListQuery(Schema):
    """Which models; all of it is optional."""

    class Meta:
        """What nobody knows is not looked at."""

        unknown = EXCLUDE

    category = Text(validate=validate.Length(max=200))
    subcategory = Text(validate=validate.Length(max=200))
    base_model = Text(data_key="baseModel", validate=validate.Length(max=200))
    type = Text(validate=validate.Length(max=200))
    search = fields.String(load_default="", validate=validate.Length(max=LONGEST_QUERY))
    tags = Labels(load_default=())
    tags_mode = fields.String(data_key="tagsMode", load_default="any", validate=validate.OneOf(["any", "all", "none"]))
    most_nsfw = WholeNumber(data_key="maxNsfwLevel", validate=validate.Range(0, nsfw.EVERY))
    has_metadata = fields.Boolean(data_key="hasMetadata")
    sort = fields.String(validate=validate.Length(max=20))
    page = Page(load_default=1)
    limit = Page(load_default=USUAL_PAGE)
    cursor = fields.String(validate=validate.Length(max=2000))
    include = Labels(load_default=())


def _line(most: int) -> Text:
    return Text(allow_none=True, validate=validate.Length(1, most))


class ModelChange(Schema):
    """What a person writes of a model; null takes back what was written."""

    class Meta:
        """A word that nobody knows would be lost."""

        unknown = RAISE

    name = _line(300)
    type = _line(100)
    baseModel = _line(100)
    creator = _line(200)
    notes = fields.String(allow_none=True, validate=validate.Length(max=LONGEST_NOTES))
    description = fields.String(allow_none=True, validate=validate.Length(max=200_000))
    tags = Labels(allow_none=True)
    trainedWords = fields.List(_line(1000), allow_none=True, validate=validate.Length(max=100))
    nsfwLevel = WholeNumber(allow_none=True, validate=validate.Range(0, nsfw.EVERY))


class ImageChange(Schema):
    """What is written of a picture."""

    class Meta:
        """As above."""

        unknown = RAISE

    prompt = fields.String(allow_none=True, validate=validate.Length(max=LONGEST_PROMPT))
    nsfwLevel = WholeNumber()
    sortOrder = WholeNumber(validate=validate.Range(0, 1_000_000))
    generationParams = fields.Dict(keys=fields.String())


class ImageForm(Schema):
    """What is sent beside a picture."""

    class Meta:
        """Clients send fields of their own."""

        unknown = EXCLUDE

    version_id = WholeNumber(data_key="versionId", validate=validate.Range(1))
    prompt = fields.String(validate=validate.Length(max=LONGEST_PROMPT))
    negative_prompt = fields.String(data_key="negativePrompt", validate=validate.Length(max=LONGEST_PROMPT))
    seed = WholeNumber(validate=validate.Range(-1, LARGEST_SEED))
    steps = WholeNumber(validate=validate.Range(0, 100_000))
    cfg_scale = fields.Float(data_key="cfgScale", allow_nan=False, validate=validate.Range(-1000, 1000))
    sampler = fields.String(validate=validate.Length(max=200))
    scheduler = fields.String(validate=validate.Length(max=200))
    nsfw_level = WholeNumber(data_key="nsfwLevel")
    loras = fields.String()
    comfy_workflow = fields.String(data_key="comfyWorkflow")


class FromJob(Schema):
    """A job whose picture is to be kept."""

    jobId = fields.String(required=True)
    versionId = WholeNumber(validate=validate.Range(1))
    number = WholeNumber(load_default=1, validate=validate.Range(1, 1000))
    nsfwLevel = WholeNumber()


def load(schema: Schema, given: Any) -> dict[str, Any]:
    """What ``given`` says by a schema; raises Invalid with all that is wrong."""
    if not isinstance(given, Mapping):
        raise Invalid(problems=["The body must be a JSON object."])
    try:
        read: dict[str, Any] = schema.load(given)
    except ValidationError as error:
        raise Invalid(problems=list(sentences(error.normalized_messages(), given))) from error
    return read


def read_level(said: int | None) -> int:
    """The level that an upload means; raises Invalid."""
    level = nsfw.from_upload(said or 0)
    if level is None:
        raise Invalid(problems=[f"nsfwLevel: {said} is none; take 0 to 3, or one of 1, 2, 4, 8, 16, 32."])
    return level


def read_loras(text: str | None) -> list[dict[str, Any]]:
    """``[{"name", "strength"}]``; raises Invalid."""
    listed = read_json("loras", text, list)
    if len(listed) > MOST_LORAS or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in listed
    ):
        raise Invalid(problems=[f'loras: must be a list of at most {MOST_LORAS} of {{"name": …, "strength": …}}.'])
    return [{"name": one["name"][:200], **_strength(one)} for one in listed]


def _strength(one: Mapping[str, Any]) -> dict[str, float]:
    value = one.get("strength")
    return {"strength": value} if isinstance(value, int | float) and not isinstance(value, bool) else {}


def read_json(name: str, text: str | None, kind: type[Any]) -> Any:
    """What a field with JSON in it says; what is no number becomes null. Raises Invalid."""
    if not text:
        return kind()
    try:
        found = json.loads(text, parse_constant=lambda _word: None)
    except (ValueError, RecursionError) as error:
        raise Invalid(problems=[f"{name}: not valid JSON: {str(error)[:100]}"]) from error
    if not isinstance(found, kind) or is_too_deep(found):
        raise Invalid(problems=[f"{name}: must be a JSON {'list' if kind is list else 'object'}, not too deep."])
    return found


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects stand in one another more than DEEPEST times."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True
