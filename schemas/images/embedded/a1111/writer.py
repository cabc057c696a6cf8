"""Writes AUTOMATIC1111's infotext: the prompts, then one line of parameters."""

import json
from collections.abc import Mapping
from typing import Any

from schemas.images.embedded.a1111.infotext import NEGATIVE_LABEL

# Values with one of these are quoted, because readers split the line at them.
SPECIAL_CHARACTERS = ",:\n"


def write_infotext(prompt: str, negative_prompt: str, parameters: Mapping[str, Any]) -> str:
    """Return the infotext; parameters that are None are left out."""
    line = ", ".join(f"{name}: {_quote(value)}" for name, value in parameters.items() if value is not None)
    negative = f"{NEGATIVE_LABEL} {negative_prompt}" if negative_prompt else ""
    return "\n".join(filter(None, (prompt, negative, line)))


def _quote(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if any(mark in text for mark in SPECIAL_CHARACTERS) else text
