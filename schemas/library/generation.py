"""Owns how a picture was made: the parameters that programs write into their pictures, under one set of names. Pure.

Made by ``schemas.library.embedded``, shown by ``api.model_images``, kept as JSON by ``stores.library``.
"""

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
class Generation:
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
