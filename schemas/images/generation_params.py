"""How a picture was made: the parameters that programs write into their pictures, under one set of names. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Resource:
    """A model that a picture says it was made with.

    ``kind`` is ``checkpoint``, ``lora``, ``lycoris``, ``vae``, ``embedding``, ``hypernetwork`` or ``other``. ``hash``
    is lower-case hex of any of the usual hashes, as it was written.
    """

    kind: str
    name: str | None = None
    hash: str | None = None
    weight: float | None = None
    civitai_version_id: int | None = None


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """What a picture says of its making; None where it says nothing.

    ``tool`` is the program's name; ``workflow`` a ComfyUI graph as it was found; ``other`` holds what has no
    field here, as text under the program's own names.
    """

    tool: str
    prompt: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    width: int | None = None
    height: int | None = None
    clip_skip: int | None = None
    denoise: float | None = None
    model: str | None = None
    resources: tuple[Resource, ...] = ()
    workflow: Mapping[str, Any] | None = field(default=None, repr=False)
    other: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What is said, and nothing of what is not, under the names of the wire; ``loras`` are resources too."""
        plain = {wire: getattr(self, name) for wire, name in WIRE_NAMES.items()}
        lists = {"loras": self._loras(), "resources": [_resource(one) for one in self.resources]}
        found = plain | lists | {"comfyWorkflow": self.workflow, "other": dict(self.other)}
        return {name: value for name, value in found.items() if value not in EMPTY_VALUES}

    def _loras(self) -> list[dict[str, Any]]:
        named = [one for one in self.resources if one.kind in LORA_KINDS and one.name]
        return [{"name": one.name} | ({} if one.weight is None else {"strength": one.weight}) for one in named]


# What is called otherwise on the wire, and what is not.
WIRE_NAMES: Mapping[str, str] = {
    "tool": "tool",
    "prompt": "prompt",
    "negativePrompt": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "sampler": "sampler",
    "scheduler": "scheduler",
    "cfgScale": "cfg_scale",
    "clipSkip": "clip_skip",
    "denoise": "denoise",
    "width": "width",
    "height": "height",
    "model": "model",
}
LORA_KINDS = ("lora", "lycoris")
EMPTY_VALUES: tuple[Any, ...] = (None, "", [], {})


def _resource(one: Resource) -> dict[str, Any]:
    found = {
        "type": one.kind,
        "name": one.name,
        "hash": one.hash,
        "weight": one.weight,
        "civitaiVersionId": one.civitai_version_id,
    }
    return {name: value for name, value in found.items() if value is not None}
