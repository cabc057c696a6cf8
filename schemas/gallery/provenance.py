"""Where a picture comes from: the record that a token keeps of its job, and the request that repeats the job.

The record is JSON, stored with the token. It has everything that the job was given, so that the job can be run again
after it has expired. Whether its models are in the library is not part of it: that is looked up when it is read.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.fields import to_camel_case, to_snake_case
from schemas.images.input_images import InputImage
from schemas.jobs.job import Job, JobRequest
from schemas.library.categories import CHECKPOINT, HYPERNETWORK, LORA, VAE
from schemas.library.sanitize import strip_control_chars
from schemas.sites.recipe import Recipe

VERSION = 1
# Pictures may name any number of models, at any length, and hold whole workflows.
MAX_MODELS, MAX_MODEL_NAME_CHARS, MAX_GENERATION_CHARS = 50, 400, 256 * 1024
# Inputs of recipes that name a model, and the kind of it.
MODEL_INPUTS: Mapping[str, str] = {
    "checkpoint": "checkpoint",
    "model": "checkpoint",
    "refiner": "checkpoint",
    "vae": "vae",
}
# The category of the library in which models of a kind are.
CATEGORIES: Mapping[str, str] = {
    "checkpoint": CHECKPOINT,
    "lora": LORA,
    "lycoris": LORA,
    "vae": VAE,
    "hypernetwork": HYPERNETWORK,
}
KIND_LABELS: Mapping[str, str] = {
    "checkpoint": "Checkpoint",
    "lora": "LoRA",
    "lycoris": "LoRA",
    "vae": "VAE",
    "embedding": "Embedding",
}
# The wire names of what only the owner sees: in any case, because the id of a job leads to all its pictures without a
# key, and of a private prompt.
OWNER_FIELDS = ("jobId",)
PRIVATE_FIELDS = ("prompt", "inputs", "seed", "generation")
# Fields of a record that only the server reads: the names of the assets with the pictures of the inputs, by input, and
# for each model whether the library had it.
KEPT_INPUTS, IN_LIBRARY = "keptInputs", "inLibrary"
_LORA_TAG = re.compile(r"<(lora|lyco):([^:<>]{1,200})(?::(-?\d{1,4}(?:\.\d{1,6})?))?[^<>]{0,100}>", re.IGNORECASE)
_MODEL_SUFFIX = re.compile(r"\.(safetensors|ckpt|pt|pth|bin|gguf|sft)$", re.IGNORECASE)
_HASH_IN_NAME = re.compile(r"\s*\[[0-9a-f]{8,64}\]$", re.IGNORECASE)
_FOLDERS = re.compile(r".*[\\/]")


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model that a job used. ``hashes`` has lower-case hex digits by algorithm.

    An image names hashes without their algorithm: such a one is under ``hash``.
    """

    kind: str
    name: str
    weight: float | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Return a key that two spellings of one model share."""
        kind = "lora" if self.kind == "lycoris" else self.kind
        return kind, model_stem(self.name).lower()

    def to_json(self) -> dict[str, Any]:
        """Return the model as it stands in a record."""
        weight = {} if self.weight is None else {"weight": self.weight}
        return {"kind": self.kind, "name": self.name, **weight, "hashes": dict(self.hashes)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "UsedModel":
        """Read a model of a record."""
        return cls(stored["kind"], stored["name"], stored.get("weight"), dict(stored.get("hashes", {})))


def model_stem(name: str) -> str:
    """Return the name of a model without folders, extension and the hash that some programs append."""
    return _MODEL_SUFFIX.sub("", _FOLDERS.sub("", _HASH_IN_NAME.sub("", name.strip())))


def list_used_models(
    request: JobRequest, recipe: Recipe | None, generation: Mapping[str, Any] | None
) -> list[UsedModel]:
    """Return the models that a job names and those that its picture names (``generation``), each once."""
    named = [UsedModel(kind, request.inputs[name]) for name, kind in MODEL_INPUTS.items() if _is_named(request, name)]
    if request.lora:
        weight = request.inputs.get("lora_weight")
        named.append(UsedModel("lora", request.lora, float(weight) if isinstance(weight, int | float) else None))
    if recipe is not None and recipe.loras and recipe.loras.syntax:
        tags = _LORA_TAG.findall(request.prompt)
        named += [UsedModel("lora", name, float(weight) if weight else None) for _, name, weight in tags]
    return _merge([*named, *_embedded_models(generation or {})])[:MAX_MODELS]


def _is_named(request: JobRequest, name: str) -> bool:
    return isinstance(request.inputs.get(name), str) and bool(request.inputs[name].strip())


def _embedded_models(generation: Mapping[str, Any]) -> Iterable[UsedModel]:
    for resource in generation.get("resources", ()):
        digest, weight = resource.get("hash"), resource.get("weight")
        name = strip_control_chars(str(resource.get("name") or ""))[:MAX_MODEL_NAME_CHARS].strip()
        if name:
            is_number = isinstance(weight, int | float) and math.isfinite(weight)
            hashes = {"hash": digest} if digest else {}
            yield UsedModel(str(resource.get("type", "other")), name, weight if is_number else None, hashes)


def _merge(models: Iterable[UsedModel]) -> list[UsedModel]:
    merged: dict[tuple[str, str], UsedModel] = {}
    for model in models:
        first = merged.get(model.key, model)
        weight = first.weight if first.weight is not None else model.weight
        merged[model.key] = UsedModel(first.kind, first.name, weight, {**model.hashes, **first.hashes})
    return list(merged.values())


@dataclass(frozen=True, slots=True)
class MadeImage:
    """One of the pictures of a job: its number, counted from 1, and the digest of its bytes."""

    number: int
    sha256: str
    type: str
    width: int
    height: int
    size_bytes: int
    lossy: bool = False


def build_provenance(
    job: Job,
    recipe: Recipe | None,
    image: MadeImage,
    *,
    models: Sequence[UsedModel] = (),
    generation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of a completed job's picture.

    ``recipe`` is that of the job's site, None if it has been removed meanwhile. ``generation`` holds the parameters
    that the picture itself names. The seed is the one of the inputs, else that of the picture.
    """
    request = job.request
    seed = request.inputs.get("seed", (generation or {}).get("seed"))
    return {
        "version": VERSION,
        "jobId": job.id,
        "seq": job.seq,
        "number": image.number,
        "startedAt": job.start_time,
        "finishedAt": job.finished_at,
        "site": {
            "name": request.site,
            "title": recipe.title if recipe else request.site,
            "recipe": recipe.version if recipe else None,
            "deterministic": bool(recipe and recipe.deterministic),
        },
        "prompt": request.prompt,
        "lora": request.lora,
        "inputs": {to_camel_case(name): value for name, value in request.inputs.items()},
        "seed": seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        "models": [model.to_json() for model in models],
        "image": {to_camel_case(name): getattr(image, name) for name in _IMAGE_FIELDS},
        "generation": _bounded(generation) if generation else None,
    }


def _bounded(generation: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the parameters without values that are too large to store with every token."""
    parts = dict(generation)
    for name in ("comfyWorkflow", "other", "resources"):
        if len(json.dumps(parts)) <= MAX_GENERATION_CHARS:
            return parts
        parts.pop(name, None)
    return parts if len(json.dumps(parts)) <= MAX_GENERATION_CHARS else None


_IMAGE_FIELDS = ("sha256", "type", "width", "height", "size_bytes", "lossy")


def used_models(record: Mapping[str, Any]) -> list[UsedModel]:
    """Return the models of a record."""
    return [UsedModel.from_json(stored) for stored in record.get("models", ())]


def input_pictures(record: Mapping[str, Any]) -> dict[str, InputImage]:
    """Return the pictures among the inputs of a record, by the input's name on the wire."""
    inputs = record.get("inputs", {}).items()
    return {name: InputImage.from_json(value) for name, value in inputs if isinstance(value, Mapping)}


def list_kept_inputs(record: Mapping[str, Any] | None) -> list[str]:
    """Return the names of the assets that belong to a record, which are released with it."""
    return list((record or {}).get(KEPT_INPUTS, {}).values())


def hide_private(record: Mapping[str, Any], *, is_owner: bool, is_prompt_private: bool) -> dict[str, Any]:
    """Return the record for a viewer: others see neither the job's id nor what tells a private prompt."""
    shown = {name: value for name, value in record.items() if name not in (KEPT_INPUTS, IN_LIBRARY)}
    hidden = () if is_owner else OWNER_FIELDS + (PRIVATE_FIELDS if is_prompt_private else ())
    return {**shown, **dict.fromkeys(hidden), "isPromptPrivate": is_prompt_private}


def list_facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what pages show of a record besides the prompt: pairs of a label and a text.

    ``record`` is what ``hide_private`` returns for the viewer.
    """
    site = record["site"]
    facts = [("Site", f"{site['title']} ({site['name']})" if site["title"] != site["name"] else site["name"])]
    for model in used_models(record):
        weight = "" if model.weight is None else f", weight {model.weight:g}"
        facts.append((KIND_LABELS.get(model.kind, "Model"), f"{model.name}{weight}"))
    if record.get("seed") is not None:
        facts.append(("Seed", str(record["seed"])))
    inputs = record.get("inputs") or {}
    for name, value in inputs.items():
        label = to_snake_case(name).replace("_", " ").capitalize()
        if isinstance(value, Mapping):
            facts.append((label, f"a picture of {value['width']} x {value['height']} pixels"))
        elif name != "seed" and to_snake_case(name) not in MODEL_INPUTS:
            facts.append((label, str(value)))
    return facts


def repeats(record: Mapping[str, Any], request: JobRequest) -> bool:
    """Whether a request has the prompt and the inputs of a record; pictures are compared by their content."""
    inputs = {to_camel_case(name): _identity(value) for name, value in request.inputs.items()}
    recorded = {name: _identity(value) for name, value in record["inputs"].items()}
    return (request.site, request.prompt, inputs) == (record["site"]["name"], record["prompt"], recorded)


def _identity(value: Any) -> Any:
    return value.get("sha256") if isinstance(value, Mapping) else value


def repeat_request(record: Mapping[str, Any], pictures: Mapping[str, Any], lora: str | None) -> JobRequest:
    """Return the request of a new job with the same inputs.

    ``pictures`` are the sources of the inputs that are pictures. ``lora`` is the name that the LoRA has now.
    """
    inputs = {**record["inputs"], **pictures}
    return JobRequest(record["site"]["name"], record["prompt"], lora, inputs)
