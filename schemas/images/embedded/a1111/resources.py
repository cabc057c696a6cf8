"""Finds the models that an infotext names: in its prompt, and in the parameters of several extensions.

Parameters that are read are removed from the dictionary; those that cannot be read stay and become text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.embedded.json_texts import parse_json, parse_object

# By keys in lower case: the program's spelling and the value.
Parameters = dict[str, tuple[str, str]]

PROMPT_NETWORK = re.compile(r"<(lora|lyco|hypernet):([^<>:\n]{1,300})((?::[^<>:\n]{0,100}){0,10})>", re.IGNORECASE)
NETWORK_KINDS = {"lora": "lora", "lyco": "lycoris", "hypernet": "hypernetwork"}
# How the kinds in "Hashes" and in Civitai's lists begin.
KIND_PREFIXES: Mapping[str, str] = {
    "model": "checkpoint",
    "checkpoint": "checkpoint",
    "lora": "lora",
    "dora": "lora",
    "lyco": "lycoris",
    "locon": "lycoris",
    "vae": "vae",
    "embed": "embedding",
    "textualinversion": "embedding",
    "hypernet": "hypernetwork",
}
# Civitai's resource name (AIR).
AIR = re.compile(r"urn:air:[^:]*:(?P<kind>[^:]*):civitai:\d+@(?P<version>\d+)")
NAME_AND_HASH = re.compile(r"(.{0,1000})\(([0-9a-fA-F]{1,64})\)")
ADDITIONAL_NETWORK = re.compile(r"addnet model (\d+)")
SAVED_LORA = re.compile(r"lora_(\d+) model name")
MODULE = re.compile(r"module \d+")
PARALLEL_WEIGHTS = ("loraweights", "lora weights")
# In "Hashes", the key of the checkpoint has no name.
MAIN_MODEL = ("checkpoint", None)


def add_resources(builder: GenerationBuilder, parameters: Parameters) -> None:
    """Add all models, each once, combining what several parameters say about it."""
    hashes = _pop_hashes(parameters)
    civitai = _pop_civitai_resources(parameters)
    _add_checkpoint(builder, parameters, hashes, civitai)
    add_prompt_networks(builder, builder.fields.get("prompt", ""))
    _add_hash_lists(builder, parameters)
    for kind, name, hash_ in hashes:
        builder.add_resource(kind, name, hash_)
    _add_additional_networks(builder, parameters)
    _add_saved_loras(builder, parameters)
    _add_single_models(builder, parameters)
    for kind, entry in civitai:
        builder.add_resource(kind, entry.get("modelName"), None, entry.get("weight"), entry.get("modelVersionId"))


def add_prompt_networks(builder: GenerationBuilder, prompt: str) -> None:
    """Add the networks that a prompt calls, ``<lora:name:weight>``; the weight is 1 if it names none."""
    for network in PROMPT_NETWORK.finditer(prompt):
        # "<lora:name:te=0.7:unet=1>" has a weight for each part of the model; the first is taken.
        weight = network[3][1:].partition(":")[0].rpartition("=")[2].strip() or 1.0
        builder.add_resource(NETWORK_KINDS[network[1].lower()], network[2].strip(), weight=weight)


def _add_checkpoint(
    builder: GenerationBuilder, parameters: Parameters, hashes: list[Any], civitai: list[tuple[str, dict[str, Any]]]
) -> None:
    """Add the checkpoint, which "Model", "Hashes" and the first checkpoint of Civitai's list describe."""
    name = parameters.get("model", ("", ""))[1] or None
    listed_hash = next((hash_ for kind, own_name, hash_ in hashes if (kind, own_name) == MAIN_MODEL), None)
    hash_ = _pop(parameters, "model hash") or listed_hash
    hashes[:] = [entry for entry in hashes if entry[:2] != MAIN_MODEL]
    index = next((index for index, (kind, _) in enumerate(civitai) if kind == "checkpoint"), None)
    entry = {} if index is None else civitai.pop(index)[1]
    builder.add_resource("checkpoint", name or entry.get("modelName"), hash_, version=entry.get("modelVersionId"))
    if not name:
        builder.set_field("model", entry.get("modelName"), "Model")


def _pop_hashes(parameters: Parameters) -> list[tuple[str, str | None, Any]]:
    """Read "Hashes", ``{"model": ..., "lora:name": ...}``, as kind, name and hash."""
    hashes = parse_object(parameters.get("hashes", ("", ""))[1])
    if hashes is None:
        return []
    del parameters["hashes"]
    parts = [(*key.partition(":"), value) for key, value in hashes.items()]
    return [(_kind_of(kind), name or None, value) for kind, _, name, value in parts]


def _pop_civitai_resources(parameters: Parameters) -> list[tuple[str, dict[str, Any]]]:
    entries = parse_json(parameters.get("civitai resources", ("", ""))[1])
    if not isinstance(entries, list):
        return []
    del parameters["civitai resources"]
    return [_read_civitai_resource(entry) for entry in entries if isinstance(entry, dict)]


def _read_civitai_resource(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    air = AIR.match(str(entry.get("air", "")))
    if air:
        entry = {"type": air["kind"], "modelVersionId": air["version"]} | entry
    return _kind_of(entry.get("type")), entry


def _kind_of(name: Any) -> str:
    lower = name.lower() if isinstance(name, str) else ""
    return next((kind for prefix, kind in KIND_PREFIXES.items() if lower.startswith(prefix)), "other")


def _add_hash_lists(builder: GenerationBuilder, parameters: Parameters) -> None:
    loras = list(_split_list(_pop(parameters, "lora hashes")))
    weights = _pop_parallel_weights(parameters, len(loras))
    for index, (name, hash_) in enumerate(loras):
        builder.add_resource("lora", name, hash_, weights[index] if weights else None)
    for name, hash_ in _split_list(_pop(parameters, "ti hashes")):
        builder.add_resource("embedding", name, hash_)
    for name, weight in _split_list(_pop(parameters, "lora weights")):
        builder.add_resource("lora", name, weight=weight)


def _pop_parallel_weights(parameters: Parameters, count: int) -> list[str]:
    """Return the weights that SwarmUI lists in the order of the LoRAs; empty if there are not as many."""
    for key in PARALLEL_WEIGHTS:
        text = parameters.get(key, ("", ""))[1]
        weights = [part.strip() for part in text.split(",")] if text and ":" not in text else []
        if weights and len(weights) == count:
            del parameters[key]
            return weights
    return []


def _split_list(text: str | None) -> Iterator[tuple[str, str]]:
    """Split ``name: value, name: value``; a value may be empty, and a name may contain commas."""
    name = ""
    for part in (text or "").split(","):
        before, colon, value = part.rpartition(":")
        if colon:
            yield (name + before).strip(), value.strip()
            name = ""
        else:
            name += part + ","


def _add_additional_networks(builder: GenerationBuilder, parameters: Parameters) -> None:
    """Read the extension Additional Networks: ``name(hash)``, and weights for two parts of the model."""
    for number, value in _pop_numbered(parameters, ADDITIONAL_NETWORK):
        match = NAME_AND_HASH.fullmatch(value)
        weight = _pop(parameters, f"addnet weight a {number}") or _pop(parameters, f"addnet weight {number}")
        builder.add_resource("lora", match[1] if match else value, match[2] if match else None, weight)


def _add_saved_loras(builder: GenerationBuilder, parameters: Parameters) -> None:
    """Read the LoRAs that a saver node of ComfyUI numbers from 0."""
    for number, name in _pop_numbered(parameters, SAVED_LORA):
        weight = _pop(parameters, f"lora_{number} strength model")
        hash_ = _pop(parameters, f"lora_{number} model hash")
        builder.add_resource("lora", name, hash_, weight)


def _add_single_models(builder: GenerationBuilder, parameters: Parameters) -> None:
    builder.add_resource("vae", _pop(parameters, "vae"), _pop(parameters, "vae hash"))
    if network := _pop(parameters, "hypernet"):
        hash_, weight = _pop(parameters, "hypernet hash"), _pop(parameters, "hypernet strength")
        builder.add_resource("hypernetwork", network, hash_, weight)
    for key in [key for key in parameters if MODULE.fullmatch(key)]:
        builder.add_resource("other", _pop(parameters, key))


def _pop_numbered(parameters: Parameters, pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    matches = [match for key in parameters if (match := pattern.fullmatch(key))]
    return [(match[1], parameters.pop(match[0])[1]) for match in matches]


def _pop(parameters: Parameters, key: str) -> str | None:
    return parameters.pop(key, (None, None))[1]
