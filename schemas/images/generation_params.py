"""Generation parameters of an image: what programs embed in their images, under one set of names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LORA_KINDS = ("lora", "lycoris")


@dataclass(frozen=True, slots=True)
class Resource:
    """A model that an image was generated with, as the image names it.

    ``kind`` is ``checkpoint``, ``lora``, ``lycoris``, ``vae``, ``embedding``, ``hypernetwork`` or ``other``. ``hash``
    is lower-case hex; images do not say of which algorithm.
    """

    kind: str
    name: str | None = None
    hash: str | None = None
    weight: float | None = None
    civitai_version_id: int | None = None


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """The parameters of one image; None where the image does not name one.

    ``tool`` is the program's name. ``workflow`` is a ComfyUI graph, unchanged. ``other`` holds what has no field here,
    as text under the program's own names.
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
        """Return the known parameters under their wire names; ``loras`` repeats the LoRAs among ``resources``."""
        scalars = {wire_name: getattr(self, name) for wire_name, name in WIRE_NAMES.items()}
        loras = [resource for resource in self.resources if resource.kind in LORA_KINDS and resource.name]
        document = scalars | {
            "loras": [_without_none(name=lora.name, strength=lora.weight) for lora in loras],
            "resources": [_resource_to_json(resource) for resource in self.resources],
            "comfyWorkflow": self.workflow,
            "other": dict(self.other),
        }
        return {name: value for name, value in document.items() if value not in EMPTY_VALUES}


# Fields by their wire names.
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
EMPTY_VALUES: tuple[Any, ...] = (None, "", [], {})


def _resource_to_json(resource: Resource) -> dict[str, Any]:
    return _without_none(
        type=resource.kind,
        name=resource.name,
        hash=resource.hash,
        weight=resource.weight,
        civitaiVersionId=resource.civitai_version_id,
    )


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
