"""Builds ``GenerationParams`` from untrusted values.

Each value is validated by itself, so an invalid one costs no other. Values that fit no field are kept as text under the
program's own name. Everything is bounded.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from schemas.images.generation_params import LORA_KINDS, GenerationParams, Resource
from schemas.library.formats.hashes import is_hash_of_nothing

INTEGER_RANGES: Mapping[str, tuple[int, int]] = {
    "seed": (0, 2**64 - 1),
    "steps": (1, 100_000),
    "width": (1, 100_000),
    "height": (1, 100_000),
    "clip_skip": (1, 100),
}
NUMBER_RANGES: Mapping[str, tuple[float, float]] = {"cfg_scale": (0, 1000), "denoise": (0, 1), "weight": (-100, 100)}
PROMPT_FIELDS = ("prompt", "negative_prompt")
MAX_PROMPT_CHARS = 100_000
MAX_NAME_CHARS = 300
MAX_OTHER_CHARS = 10_000
MAX_OTHERS = 200
MAX_RESOURCES = 100
INTEGER_TEXT = re.compile(r"(\d{1,20})(?:\.0+)?", re.ASCII)
NUMBER_TEXT = re.compile(r"[+-]?\d{0,20}\.?\d{1,40}(?:[eE][+-]?\d{1,3})?", re.ASCII)
HASH = re.compile(r"(?:0x|blake3:|sha256:)?([0-9a-f]{8,64})", re.ASCII)
MODEL_EXTENSION = re.compile(r"\.(?:safetensors|ckpt|pth?|bin|gguf|sft)$", re.IGNORECASE)
Record = TypeVar("Record", GenerationParams, Resource)


@dataclass(slots=True)
class GenerationBuilder:
    """Collects the parameters that one program wrote; the first value of each field wins."""

    tool: str
    fields: dict[str, Any] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)
    resources: dict[tuple[str, str], Resource] = field(default_factory=dict)

    def set_field(self, name: str, value: Any, source_name: str) -> None:
        """Set a field; an invalid or second value goes to ``other`` under ``source_name``, the program's own name."""
        valid = validate_value(name, value)
        if valid is None or self.fields.setdefault(name, valid) != valid:
            self.add_other(source_name, value)

    def add_other(self, source_name: str, value: Any) -> None:
        """Keep a value without a field, as text."""
        if value is None or value in ("", [], {}) or len(self.other) >= MAX_OTHERS:
            return
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        self.other.setdefault(source_name[:MAX_NAME_CHARS], text[:MAX_OTHER_CHARS])

    def add_resource(self, kind: str, name: Any, hash: Any = None, weight: Any = None, version: Any = None) -> None:  # noqa: A002
        """Add a model from unvalidated values, or complete one of the same name."""
        if len(self.resources) >= MAX_RESOURCES:
            return
        valid_name = validate_value("model", name)
        resource = Resource(
            kind,
            name=None if valid_name == "None" else valid_name,
            hash=parse_hash(hash),
            weight=validate_value("weight", weight),
            civitai_version_id=_parse_version_id(version),
        )
        if resource.weight is None:
            self.add_other(f"{valid_name or kind} weight", weight)
        self.merge_resource(resource)

    def merge_resource(self, resource: Resource) -> None:
        """Add a validated model unless nothing identifies it; complete the one with the same kind and name."""
        identity = resource.name or resource.hash or resource.civitai_version_id
        if identity is None:
            return
        # Prompts and hash lists do not distinguish LyCORIS from LoRA.
        key = ("lora" if resource.kind in LORA_KINDS else resource.kind, normalize_model_name(str(identity)))
        known = self.resources.get(key)
        if known is not None:
            self.resources[key] = _fill_empty(known, resource)
        elif len(self.resources) < MAX_RESOURCES:
            self.resources[key] = resource

    def build(self) -> GenerationParams | None:
        """Return the parameters; None if nothing was collected."""
        if not (self.fields or self.other or self.resources):
            return None
        return GenerationParams(self.tool, resources=tuple(self.resources.values()), other=self.other, **self.fields)


def combine(first: GenerationParams, second: GenerationParams) -> GenerationParams:
    """Combine two texts of one image: ``second`` fills what ``first`` leaves open."""
    builder = GenerationBuilder(first.tool, other=dict(first.other))
    for resource in first.resources + second.resources:
        builder.merge_resource(resource)
    for name, text in second.other.items():
        builder.add_other(name, text)
    filled = _fill_empty(first, second)
    return replace(filled, other=builder.other, resources=tuple(builder.resources.values()))


def validate_value(name: str, value: Any) -> Any:
    """Return ``value`` as the field of that name holds it; None if it is invalid there."""
    if name in INTEGER_RANGES:
        return _in_range(_parse_integer(value), INTEGER_RANGES[name])
    if name in NUMBER_RANGES:
        return _in_range(_parse_number(value), NUMBER_RANGES[name])
    if not isinstance(value, str):
        return None
    if name in PROMPT_FIELDS:
        return value[: MAX_PROMPT_CHARS + 1000].strip()[:MAX_PROMPT_CHARS] or None
    return " ".join(value[: 2 * MAX_NAME_CHARS].split())[:MAX_NAME_CHARS] or None


def parse_hash(value: Any) -> str | None:
    """Return a hash as lower-case hex; None if it is not one, or the hash of no bytes."""
    match = HASH.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    return match[1] if match and not is_hash_of_nothing(match[1]) else None


def normalize_model_name(name: str) -> str:
    """Return the name without case and file name extension, by which two spellings are compared."""
    return MODEL_EXTENSION.sub("", name.strip().casefold())


def _fill_empty(first: Record, second: Record) -> Record:
    """Return ``first`` with its None fields taken from ``second``."""
    empty = [column.name for column in fields(first) if getattr(first, column.name) is None]
    return replace(first, **{name: getattr(second, name) for name in empty})


def _parse_version_id(value: Any) -> int | None:
    version_id = _parse_integer(value)
    return version_id if version_id and version_id < 2**53 else None


def _in_range(number: float | None, limits: tuple[float, float]) -> float | None:
    return number if number is not None and limits[0] <= number <= limits[1] else None


def _parse_integer(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (match := INTEGER_TEXT.fullmatch(value.strip())):
        return int(match[1])
    return value if type(value) is int else None


def _parse_number(value: Any) -> float | None:
    if isinstance(value, str):
        return float(value) if NUMBER_TEXT.fullmatch(value.strip()) else None
    return float(value) if type(value) in (int, float) and abs(value) < 1e9 else None
