"""Recipe files for tests."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_recipe(path: Path, recipe: Mapping[str, Any]) -> None:
    """Write a recipe as TOML, one line for each key; JSON's texts, numbers and lists are TOML's as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key} = {_inline(value)}\n" for key, value in recipe.items()))


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(inner) for inner in value) + "]"
    return json.dumps(value)
