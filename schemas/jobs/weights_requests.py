"""Submissions of the Weights API: a flat set of fields, from a query string, a form or a JSON object."""

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, pre_load, validate

from schemas.errors import Invalid
from schemas.fields import (
    CONTROL_CHARACTERS,
    MAX_LORA_NAME_LENGTH,
    MAX_PROMPT_LENGTH,
    Text,
    flatten_errors,
    is_valid_unicode,
)
from schemas.jobs.job import JobRequest, priority_field

MIN_WEIGHTS_PROMPT_LENGTH = 10
# The texts that published clients send for an absent optional value.
ABSENT_VALUES = frozenset({"", "null", "undefined", "None", "NaN"})
ABSENT_PATTERN = r"^ *(null|undefined|None|NaN)? *$"
REQUIRED_FIELDS = frozenset({"prompt", "query"})
# All other fields are inputs of the site.
COMMON_FIELDS = frozenset({"prompt", "query", "loraName", "site", "priority"})


class PromptField(fields.String):
    """A prompt, with the error messages that clients of the Weights API know."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own declaration
        "required": "Prompt is required",
        "null": "Prompt must be a string",
        "invalid": "Prompt must be a string",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        prompt = str(super()._deserialize(value, attr, data, **kwargs)).strip()
        if not prompt:
            raise self.make_error("required")
        if len(prompt) < MIN_WEIGHTS_PROMPT_LENGTH:
            raise ValidationError("Prompt is too short")
        if len(prompt) > MAX_PROMPT_LENGTH:
            raise ValidationError(f"Prompt is too long: at most {MAX_PROMPT_LENGTH} characters")
        if CONTROL_CHARACTERS.search(prompt):
            raise ValidationError("Prompt contains control characters")
        if not is_valid_unicode(prompt):
            raise ValidationError("Prompt is not valid Unicode")
        return prompt


class WeightsRequestSchema(Schema):
    """The fields of a submission; ``query`` is another name of ``prompt``."""

    class Meta:
        """Further fields are inputs of the site."""

        unknown = EXCLUDE

    prompt = PromptField(required=True)
    lora = Text(data_key="loraName", allow_none=True, validate=validate.Length(max=MAX_LORA_NAME_LENGTH))
    site = Text(allow_none=True)
    priority = priority_field()

    @pre_load
    def apply_aliases(self, data: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Accept ``query`` for ``prompt``."""
        aliased = dict(data)
        if "query" in data:
            aliased.setdefault("prompt", data["query"])
        return aliased

    @post_load(pass_original=True)
    def build(self, data: dict[str, Any], original: Mapping[str, Any], **_: Any) -> JobRequest:
        """Build the record."""
        inputs = {name: value for name, value in original.items() if name not in COMMON_FIELDS}
        return JobRequest(data.get("site") or "", data["prompt"], data.get("lora") or None, inputs, data["priority"])


# Made once: making a schema takes longer than using it.
_WEIGHTS_REQUEST_SCHEMA = WeightsRequestSchema()


def load_weights_request(values: Mapping[str, Any]) -> JobRequest:
    """Return the request that the fields of a submission make; optional fields without a value are left out.

    Raises:
        Invalid: a field is missing or wrong; problems of the prompt are bare messages, as clients expect them.
    """
    try:
        request: JobRequest = _WEIGHTS_REQUEST_SCHEMA.load(_without_absent(values))
    except ValidationError as error:
        messages = error.normalized_messages()
        problems = [*messages.pop("prompt", []), *flatten_errors(messages, values)]
        raise Invalid(problems=problems) from error
    return request


def is_absent(value: Any) -> bool:
    """Whether a client sent this because it has no value."""
    return value is None or (isinstance(value, str) and value.strip() in ABSENT_VALUES)


def _without_absent(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in REQUIRED_FIELDS or not is_absent(value)}
