"""Which models a ComfyUI graph loads: by the names of inputs, of whatever node. Pure.

Loaders of many makers name their inputs alike; nodes nobody here knows are walked through.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.images.embedded.a1111.resources import add_prompt_networks
from schemas.images.embedded.builder import GenerationBuilder, validate_value
from schemas.images.embedded.comfyui.graph import Graph, Node

CHECKPOINTS = ("ckpt_name", "unet_name", "base_ckpt_name", "model")
OTHERS: Mapping[str, str] = {
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
PICTURES = ("latent_image", "latent", "samples", "image", "images", "pixels", "mask", "vae")
NOT_MODELS = frozenset({"positive", "negative", "conditioning", "noise", "sampler", "sigmas", *PICTURES})
STACKED = re.compile(r"(?:lora_name_|lora_)(\d{1,3})(?:_name)?")
STRENGTHS = ("strength_model_{}", "model_str_{}", "model_weight_{}", "lora_wt_{}", "strength_{}", "lora_{}_strength")
SINGLE = ("strength_model", "lora_model_strength", "strength", "lora_strength")
EMBEDDING = re.compile(r"embedding:([^\s,:()<>]{1,200})", re.IGNORECASE)


def add_resources(draft: GenerationBuilder, graph: Graph, sampler: Node | None) -> None:
    """The checkpoint and the LoRAs on the way to the sampler, then what else the graph loads."""
    way = list(graph.upstream(sampler.id if sampler else None, _model_links))
    names = [name for node in way if (name := _checkpoint(graph, node))]
    everywhere = [
        name for node in graph.nodes.values() if (name := graph.resolve_value(node, "ckpt_name", "unet_name"))
    ]
    for name in names[:1] or everywhere[:1]:
        draft.set_field("model", name, "model")
        draft.add_resource("checkpoint", name)
    # From the loader on, as they are applied.
    for node in reversed(way):
        for name, weight in _loras(graph, node):
            draft.add_resource("lora", name, weight=weight)
    for node in graph.nodes.values():
        for name in [name for name in OTHERS if name in node.inputs]:
            draft.add_resource(OTHERS[name], graph.resolve_value(node, name))
    for prompt in ("prompt", "negative_prompt"):
        for found in EMBEDDING.finditer(draft.fields.get(prompt, "")):
            draft.add_resource("embedding", found[1])


def _model_links(node: Node) -> list[str]:
    return [target for name, target in node.links.items() if name not in NOT_MODELS]


def _checkpoint(graph: Graph, node: Node) -> str | None:
    name = next((node.inputs[name] for name in CHECKPOINTS if isinstance(node.inputs.get(name), str)), None)
    return name or (
        graph.resolve_value(node, "ckpt_name", "unet_name") if {"ckpt_name", "unet_name"} & node.inputs.keys() else None
    )


def _loras(graph: Graph, node: Node) -> Iterator[tuple[Any, Any]]:
    """Name and weight of each that a node loads and that is not switched off."""
    if "lora_name" in node.inputs:
        weight = next((name for name in SINGLE if name in node.inputs), "")
        yield graph.resolve_value(node, "lora_name"), graph.resolve_value(node, weight)
    for name, value in node.inputs.items():
        if isinstance(value, dict):
            yield from _listed(value)
        elif found := STACKED.fullmatch(name):
            yield from _stacked(graph, node, name, found[1])
    text = node.inputs.get("text") if "lora" in node.kind else None
    if isinstance(text, str):
        named = GenerationBuilder("")
        add_prompt_networks(named, validate_value("prompt", text) or "")
        yield from ((one.name, one.weight) for one in named.resources.values())


def _listed(value: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Of loaders with a list that grows: one object each, or one with all."""
    inside = value.get("__value__")
    for one in inside if isinstance(inside, list) else [value]:
        if isinstance(one, dict) and one.get("on", one.get("active", True)) is not False:
            yield one.get("lora", one.get("name")), one.get("strength")


def _stacked(graph: Graph, node: Node, name: str, number: str) -> Iterator[tuple[Any, Any]]:
    if node.inputs.get(f"switch_{number}") == "Off":
        return
    weight = next((key for form in STRENGTHS if (key := form.format(number)) in node.inputs), "")
    yield graph.resolve_value(node, name), graph.resolve_value(node, weight)
