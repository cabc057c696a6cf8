"""LoRAs that a prompt calls in AUTOMATIC1111's syntax, ``<lora:NAME:WEIGHT>``."""

import math
from dataclasses import dataclass

from schemas.images.embedded.a1111.resources import PROMPT_NETWORK
from schemas.sites.recipe import Recipe

KINDS = ("lora", "lyco")
SYNTAX_PREFIX = "<lora:"


@dataclass(frozen=True, slots=True)
class PromptLora:
    """A LoRA of a prompt; ``tag`` is its text there. ``weight`` is None if it is not one number."""

    tag: str
    name: str
    weight: float | None


def find_loras(prompt: str) -> list[PromptLora]:
    """Return the LoRAs that a prompt calls, in order."""
    return [
        PromptLora(match[0], match[2].strip(), _parse_weight(match[3][1:]))
        for match in PROMPT_NETWORK.finditer(prompt)
        if match[1].lower() in KINDS and match[2].strip()
    ]


def remove_lora(prompt: str, lora: PromptLora) -> str:
    """Return the prompt without the first mention of a LoRA."""
    before, _, after = prompt.partition(lora.tag)
    return f"{before.rstrip()} {after.lstrip()}".strip()


def takes_prompt_loras(recipe: Recipe) -> bool:
    """Whether the page understands LoRAs in its prompt."""
    return recipe.loras is not None and recipe.loras.syntax.startswith(SYNTAX_PREFIX)


def _parse_weight(text: str) -> float | None:
    try:
        weight = float(text or "1")
    except ValueError:
        return None
    return weight if math.isfinite(weight) else None
