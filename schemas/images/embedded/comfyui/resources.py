"""Finds the models that a ComfyUI graph loads, by the names of inputs.

Loaders of different authors name their inputs alike, so unknown node classes are understood too.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.images.embedded.a1111.resources import add_prompt_networks
from schemas.images.embedded.builder import GenerationBuilder, validate_value
from schemas.images.embedded.comfyui.graph import Graph, Node

CHECKPOINT_INPUTS = ("ckpt_name", "unet_name", "base_ckpt_name", "model")
LOADER_INPUTS: Mapping[str, str] = {
    "ckpt_name": "checkpoint",
    "unet_name": "checkpoint",
    "vae_name": "vae",
    "hypernetwork_name": "hypernetwork",
    "control_net_name": "other",
    "clip_name": "other",
    "clip_name1": "other",
    "clip_name2": "other",
    "clip_name3": "other",
}
IMAGE_INPUTS = ("latent_image", "latent", "samples", "image", "images", "pixels", "mask", "vae")
NON_MODEL_INPUTS = frozenset({"positive", "negative", "conditioning", "noise", "sampler", "sigmas", *IMAGE_INPUTS})
# Inputs of stackers, which number their LoRAs, and the names of the weights for such a number.
STACKED_LORA = re.compile(r"(?:lora_name_|lora_)(\d{1,3})(?:_name)?")
MODEL_WEIGHTS = ("strength_model_{}", "model_str_{}", "model_weight_{}", "lora_{}_model_strength")
SIMPLE_WEIGHTS = ("lora_wt_{}", "strength_{}", "lora_{}_strength")
# Stackers with a mode keep the weights of the mode that is not chosen.
STACKER_MODES = ("input_mode", "mode")
SIMPLE_MODE = "simple"
# How many of its LoRAs a stacker applies; those with higher numbers are leftovers.
STACKER_COUNTS = ("lora_count", "num_loras")
STACKER_SWITCHES = ("toggle", "enabled", "switch")
STACKED_SWITCHES = ("switch_{}", "toggle_{}", "enabled_{}", "lora_{}_on")
OFF_VALUES = ("off", "false", "no", "disabled")
WEIGHT_INPUTS = ("strength_model", "lora_model_strength", "strength", "lora_strength")
EMBEDDING = re.compile(r"embedding:([^\s,:()<>]{1,200})", re.IGNORECASE)


def add_resources(builder: GenerationBuilder, graph: Graph, sampler: Node | None) -> None:
    """Add the checkpoint and the LoRAs upstream of the sampler, then whatever else the graph loads."""
    path = list(graph.upstream(sampler.id if sampler else None, _model_links))
    on_path = [name for node in path if (name := _checkpoint_name(graph, node))]
    anywhere = [name for node in graph.nodes.values() if (name := graph.resolve_value(node, "ckpt_name", "unet_name"))]
    for name in on_path[:1] or anywhere[:1]:
        builder.set_field("model", name, "model")
        builder.add_resource("checkpoint", name)
    # From the loader to the sampler, the order in which LoRAs are applied.
    for node in reversed(path):
        for name, weight in _loras(graph, node):
            builder.add_resource("lora", name, weight=weight)
    for node in graph.nodes.values():
        for name in [name for name in LOADER_INPUTS if name in node.inputs]:
            builder.add_resource(LOADER_INPUTS[name], graph.resolve_value(node, name))
    for field in ("prompt", "negative_prompt"):
        for match in EMBEDDING.finditer(builder.fields.get(field, "")):
            builder.add_resource("embedding", match[1])


def _model_links(node: Node) -> list[str]:
    return [target for name, target in node.links.items() if name not in NON_MODEL_INPUTS]


def _checkpoint_name(graph: Graph, node: Node) -> Any:
    name = next((node.inputs[name] for name in CHECKPOINT_INPUTS if isinstance(node.inputs.get(name), str)), None)
    if name or not {"ckpt_name", "unet_name"} & node.inputs.keys():
        return name
    return graph.resolve_value(node, "ckpt_name", "unet_name")


def _loras(graph: Graph, node: Node) -> Iterator[tuple[Any, Any]]:
    """Yield name and weight of each LoRA that a node loads and that is not switched off."""
    if "lora_name" in node.inputs:
        weight = next((name for name in WEIGHT_INPUTS if name in node.inputs), "")
        yield graph.resolve_value(node, "lora_name"), graph.resolve_value(node, weight)
    for name, value in node.inputs.items():
        if isinstance(value, dict):
            yield from _listed_loras(value)
        elif match := STACKED_LORA.fullmatch(name):
            yield from _stacked_loras(graph, node, name, match[1])
    text = node.inputs.get("text") if "lora" in node.kind else None
    if isinstance(text, str):
        builder = GenerationBuilder("")
        add_prompt_networks(builder, validate_value("prompt", text) or "")
        yield from ((resource.name, resource.weight) for resource in builder.resources.values())


def _listed_loras(value: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Read loaders with a list that grows: an object for each LoRA, or one object with all of them."""
    entries = value.get("__value__")
    for entry in entries if isinstance(entries, list) else [value]:
        if isinstance(entry, dict) and entry.get("on", entry.get("active", True)) is not False:
            yield entry.get("lora", entry.get("name")), entry.get("strength")


def _stacked_loras(graph: Graph, node: Node, name: str, number: str) -> Iterator[tuple[Any, Any]]:
    switches = (*STACKER_SWITCHES, *(form.format(number) for form in STACKED_SWITCHES))
    counts = [validate_value("seed", graph.resolve_value(node, key)) for key in STACKER_COUNTS if key in node.inputs]
    if any(_is_off(graph.resolve_value(node, switch)) for switch in switches if switch in node.inputs):
        return
    if any(count is not None and int(number) > count for count in counts):
        return
    modes = [str(graph.resolve_value(node, key)).lower() for key in STACKER_MODES if key in node.inputs]
    forms = (*SIMPLE_WEIGHTS, *MODEL_WEIGHTS) if SIMPLE_MODE in modes else (*MODEL_WEIGHTS, *SIMPLE_WEIGHTS)
    weight = next((key for form in forms if (key := form.format(number)) in node.inputs), "")
    yield graph.resolve_value(node, name), graph.resolve_value(node, weight)


def _is_off(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.lower() in OFF_VALUES)
