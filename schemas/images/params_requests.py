"""Generation parameters in client requests: JSON in form fields and bodies, bounded and sanitized for storage."""

import json
import math
from collections.abc import Mapping
from typing import Any

from schemas.errors import Invalid
from schemas.format_error import FormatError
from schemas.library.sanitize import strip_control_chars
from schemas.untrusted_json import JsonReader, is_deeper_than

MAX_LORAS = 100
MAX_NAME_CHARS = 200
MAX_DEPTH = 64
MAX_PARAMS_BYTES = 10_000_000
JSON_READER = JsonReader("the value", max_depth=MAX_DEPTH)


def parse_loras(text: str | None) -> list[dict[str, Any]]:
    """Parse the field ``loras``, a list of ``{"name", "strength"}``; raises Invalid."""
    loras = parse_json_field("loras", text, list)
    are_valid = all(isinstance(lora, dict) and isinstance(lora.get("name"), str) for lora in loras)
    if len(loras) > MAX_LORAS or not are_valid:
        raise Invalid(problems=[f'loras: must be a list of at most {MAX_LORAS} of {{"name": ..., "strength": ...}}.'])
    return [{"name": lora["name"][:MAX_NAME_CHARS], **_strength(lora)} for lora in loras]


def _strength(lora: Mapping[str, Any]) -> dict[str, float]:
    value = lora.get("strength")
    return {"strength": value} if isinstance(value, int | float) and not isinstance(value, bool) else {}


def parse_json_field(name: str, text: str | None, kind: type[Any]) -> Any:
    """Parse a form field that contains JSON of type ``kind``; empty if the field is. Raises Invalid."""
    if not text:
        return kind()
    try:
        value = JSON_READER.parse(text)
    except FormatError as error:
        raise Invalid(problems=[f"{name}: {error}"]) from error
    if not isinstance(value, kind):
        raise Invalid(problems=[f"{name}: must be a JSON {'list' if kind is list else 'object'}."])
    return sanitize_json(value)


def merge_params(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored parameters with the changes; null removes a parameter.

    Raises:
        Invalid: the changes are nested too deeply, or the result is too large.
    """
    if is_deeper_than(changes, MAX_DEPTH):
        raise Invalid(problems=[f"generationParams: nested more than {MAX_DEPTH} levels deep."])
    merged = {name: value for name, value in (stored | sanitize_json(changes)).items() if value is not None}
    if len(json.dumps(merged)) > MAX_PARAMS_BYTES:
        raise Invalid(problems=[f"generationParams: more than {MAX_PARAMS_BYTES:,} bytes with the stored parameters."])
    return merged


def sanitize_json(value: Any) -> Any:
    """Return a JSON value that every JSON reader and database accepts; ``value`` must not be nested deeply.

    NaN and infinities become null; strings lose control characters and lone surrogates.
    """
    if isinstance(value, str):
        return strip_control_chars(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {strip_control_chars(name): sanitize_json(inner) for name, inner in value.items()}
    return [sanitize_json(inner) for inner in value] if isinstance(value, list) else value


def dict_items(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; empty if ``value`` is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
