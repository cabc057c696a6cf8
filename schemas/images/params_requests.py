"""How a picture was made, as clients say it: JSON within a form or a body, bounded and made fit to be kept. Pure."""

import json
import math
from collections.abc import Mapping
from typing import Any

from schemas.errors import Invalid
from schemas.library.sanitize import strip_control_chars

MAX_LORAS = 100
MAX_NAME_CHARS = 200
MAX_DEPTH = 64
MAX_PARAMS_BYTES = 10_000_000


def parse_loras(text: str | None) -> list[dict[str, Any]]:
    """``[{"name", "strength"}]``; raises Invalid."""
    listed = parse_json_field("loras", text, list)
    if len(listed) > MAX_LORAS or not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in listed):
        raise Invalid(problems=[f'loras: must be a list of at most {MAX_LORAS} of {{"name": …, "strength": …}}.'])
    return [{"name": one["name"][:MAX_NAME_CHARS], **_strength(one)} for one in listed]


def _strength(one: Mapping[str, Any]) -> dict[str, float]:
    value = one.get("strength")
    return {"strength": value} if isinstance(value, int | float) and not isinstance(value, bool) else {}


def parse_json_field(name: str, text: str | None, kind: type[Any]) -> Any:
    """What a field with JSON in it says; what is no number becomes null. Raises Invalid."""
    if not text:
        return kind()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(problems=[f"{name}: not valid JSON: {str(error)[:100]}"]) from error
    if not isinstance(found, kind) or is_too_deep(found):
        raise Invalid(problems=[f"{name}: must be a JSON {'list' if kind is list else 'object'}, not too deep."])
    return sanitize_json(found)


def merge_params(known: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """What is known with what is said now; null takes a field away.

    Raises:
        Invalid: it is too much, or nested too deeply.
    """
    if is_too_deep(said):
        raise Invalid(problems=[f"generationParams: nested more than {MAX_DEPTH} levels deep."])
    together = {name: value for name, value in (known | sanitize_json(said)).items() if value is not None}
    if len(json.dumps(together)) > MAX_PARAMS_BYTES:
        raise Invalid(problems=[f"generationParams: more than {MAX_PARAMS_BYTES:,} bytes with what is there already."])
    return together


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects stand in one another more than DEEPEST times."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def sanitize_json(value: Any) -> Any:
    """A JSON value that is not too deep, as every reader of JSON and every database takes it.

    NaN and infinities become null, and texts lose control characters and halves of surrogate pairs.
    """
    if isinstance(value, str):
        return strip_control_chars(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {strip_control_chars(name): sanitize_json(inner) for name, inner in value.items()}
    return [sanitize_json(inner) for inner in value] if isinstance(value, list) else value


def dict_items(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
