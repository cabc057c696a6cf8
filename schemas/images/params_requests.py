"""How a picture was made, as clients say it: JSON within a form or a body, bounded and made fit to be kept. Pure."""

import json
import math
from collections.abc import Mapping
from typing import Any

from schemas.errors import Invalid
from schemas.library.sanitize import without_controls

MOST_LORAS = 100
LONGEST_NAME = 200
DEEPEST = 64
MOST_BYTES = 10_000_000


def read_loras(text: str | None) -> list[dict[str, Any]]:
    """``[{"name", "strength"}]``; raises Invalid."""
    listed = read_json("loras", text, list)
    if len(listed) > MOST_LORAS or not all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in listed
    ):
        raise Invalid(problems=[f'loras: must be a list of at most {MOST_LORAS} of {{"name": …, "strength": …}}.'])
    return [{"name": one["name"][:LONGEST_NAME], **_strength(one)} for one in listed]


def _strength(one: Mapping[str, Any]) -> dict[str, float]:
    value = one.get("strength")
    return {"strength": value} if isinstance(value, int | float) and not isinstance(value, bool) else {}


def read_json(name: str, text: str | None, kind: type[Any]) -> Any:
    """What a field with JSON in it says; what is no number becomes null. Raises Invalid."""
    if not text:
        return kind()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(problems=[f"{name}: not valid JSON: {str(error)[:100]}"]) from error
    if not isinstance(found, kind) or is_too_deep(found):
        raise Invalid(problems=[f"{name}: must be a JSON {'list' if kind is list else 'object'}, not too deep."])
    return harmless(found)


def changed(known: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """What is known with what is said now; null takes a field away.

    Raises:
        Invalid: it is too much, or nested too deeply.
    """
    if is_too_deep(said):
        raise Invalid(problems=[f"generationParams: nested more than {DEEPEST} levels deep."])
    together = {name: value for name, value in (known | harmless(said)).items() if value is not None}
    if len(json.dumps(together)) > MOST_BYTES:
        raise Invalid(problems=[f"generationParams: more than {MOST_BYTES:,} bytes with what is there already."])
    return together


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


def harmless(value: Any) -> Any:
    """A JSON value that is not too deep, as every reader of JSON and every database takes it.

    NaN and infinities become null, and texts lose control characters and halves of surrogate pairs.
    """
    if isinstance(value, str):
        return without_controls(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {without_controls(name): harmless(inner) for name, inner in value.items()}
    return [harmless(inner) for inner in value] if isinstance(value, list) else value


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
