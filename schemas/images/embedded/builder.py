"""A ``Generation`` in the making: each value is checked by itself, and one that is nonsense costs no other. Pure.

What fits no field is kept as text under the program's own name.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from schemas.images.generation_params import LORA_KINDS, GenerationParams, Resource

WHOLE: Mapping[str, tuple[int, int]] = {
    "seed": (0, 2**64 - 1),
    "steps": (1, 100_000),
    "width": (1, 100_000),
    "height": (1, 100_000),
    "clip_skip": (1, 100),
}
NUMBERS: Mapping[str, tuple[float, float]] = {"cfg_scale": (0, 1000), "denoise": (0, 1), "weight": (-100, 100)}
PROMPTS = ("prompt", "negative_prompt")
LONGEST_PROMPT = 100_000
LONGEST_NAME = 300
LONGEST_OTHER = 10_000
MOST_OTHERS = 200
MOST_RESOURCES = 100
WHOLE_TEXT = re.compile(r"(\d{1,20})(?:\.0+)?", re.ASCII)
NUMBER_TEXT = re.compile(r"[+-]?\d{0,20}\.?\d{1,40}(?:[eE][+-]?\d{1,3})?", re.ASCII)
HASH = re.compile(r"(?:0x|blake3:|sha256:)?([0-9a-f]{8,64})", re.ASCII)
# The beginning of the SHA-256 of no bytes: what is written where nothing was hashed.
OF_NOTHING = "e3b0c442"
EXTENSION = re.compile(r"\.(?:safetensors|ckpt|pth?|bin|gguf|sft)$", re.IGNORECASE)


@dataclass(slots=True)
class GenerationBuilder:
    """Collects what one program says. Of each field and of each resource's parts, what comes first stands."""

    tool: str
    fields: dict[str, Any] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)
    resources: dict[tuple[str, str], Resource] = field(default_factory=dict)

    def set_field(self, name: str, value: Any, source_name: str) -> None:
        """Fills a field; ``said_as`` is what the program calls it, should the value fit elsewhere only."""
        found = validate_value(name, value)
        if found is None or self.fields.setdefault(name, found) != found:
            self.add_other(source_name, value)

    def add_other(self, source_name: str, value: Any) -> None:
        """Keeps what has no field, as text."""
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        nothing = value is None or value in ("", [], {})
        if not nothing and len(self.other) < MOST_OTHERS:
            self.other.setdefault(source_name[:LONGEST_NAME], text[:LONGEST_OTHER])

    def add_resource(self, kind: str, name: Any, hash: Any = None, weight: Any = None, version: Any = None) -> None:  # noqa: A002
        """Adds a model, or what else is said of one that is known by its name already."""
        if len(self.resources) >= MOST_RESOURCES:
            return
        words = validate_value("model", name)
        one = Resource(
            kind,
            name=None if words == "None" else words,
            hash=parse_hash(hash),
            weight=validate_value("weight", weight),
            civitai_version_id=_version(version),
        )
        if one.weight is None:
            self.add_other(f"{words or kind} weight", weight)
        self.merge_resource(one)

    def build(self) -> GenerationParams | None:
        """What was said; None if nothing was."""
        if not (self.fields or self.other or self.resources):
            return None
        return GenerationParams(self.tool, resources=tuple(self.resources.values()), other=self.other, **self.fields)

    def merge_resource(self, one: Resource) -> None:
        """Adds one that has been checked, if anything tells it from others."""
        known = one.name or one.hash or one.civitai_version_id
        if known is None:
            return
        key = ("lora" if one.kind in LORA_KINDS else one.kind, normalize_model_name(str(known)))
        before = self.resources.get(key)
        if before is not None:
            self.resources[key] = _filled(before, one)
        elif len(self.resources) < MOST_RESOURCES:
            self.resources[key] = one


def combine(first: GenerationParams, second: GenerationParams) -> GenerationParams:
    """What two texts of one picture say: the first is believed, the second fills what it leaves open."""
    draft = GenerationBuilder(first.tool, other=dict(first.other))
    for one in first.resources + second.resources:
        draft.merge_resource(one)
    for name, text in second.other.items():
        draft.add_other(name, text)
    filled = _filled(first, second)
    own = {one.name: getattr(filled, one.name) for one in fields(GenerationParams)}
    return GenerationParams(**own | {"other": draft.other, "resources": tuple(draft.resources.values())})


def validate_value(name: str, value: Any) -> Any:
    """A value as its field takes it; None if it does not."""
    if name in WHOLE:
        return _within(_whole(value), WHOLE[name])
    if name in NUMBERS:
        return _within(_number(value), NUMBERS[name])
    if not isinstance(value, str):
        return None
    if name in PROMPTS:
        return value[: LONGEST_PROMPT + 1000].strip()[:LONGEST_PROMPT] or None
    return " ".join(value[: 2 * LONGEST_NAME].split())[:LONGEST_NAME] or None


def parse_hash(value: Any) -> str | None:
    """Lower-case hex, if that is what it is and something was hashed."""
    found = HASH.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    return found[1] if found and not found[1].startswith(OF_NOTHING) else None


def normalize_model_name(name: str) -> str:
    """What two spellings of a model's name have in common."""
    return EXTENSION.sub("", name.strip().casefold())


def _filled(before: Any, after: Any) -> Any:
    """The first, with those fields of the second that it leaves open."""
    empty = [one.name for one in fields(before) if getattr(before, one.name) is None]
    return replace(before, **{name: getattr(after, name) for name in empty})


def _version(value: Any) -> int | None:
    found = _whole(value)
    return found if found and found < 2**53 else None


def _within(number: float | None, limits: tuple[float, float]) -> float | None:
    return number if number is not None and limits[0] <= number <= limits[1] else None


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (found := WHOLE_TEXT.fullmatch(value.strip())):
        return int(found[1])
    return value if type(value) is int else None


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return float(value) if NUMBER_TEXT.fullmatch(value.strip()) else None
    return float(value) if type(value) in (int, float) and abs(value) < 1e9 else None
