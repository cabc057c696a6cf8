"""Reads generation parameters from a ComfyUI graph.

Starting at the first sampler, it walks upstream to the texts, the models and the size of the latent image.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.embedded.comfyui.graph import Graph, Node, link_target
from schemas.images.embedded.comfyui.resources import add_resources
from schemas.images.generation_params import GenerationParams

# Bounds on the walks, so that no graph takes long.
MAX_SAMPLERS = 8
MAX_TEXTS = 100
SAMPLER_INPUTS = {"sampler_name", "steps", "cfg"}
LATENT_INPUTS = ("latent_image", "latent", "samples", "latents")
# Nodes with texts for both roles name them so; other nodes use the names in TEXT_INPUTS.
ROLE_INPUTS: Mapping[str, tuple[str, ...]] = {
    "positive": ("positive", "positive_prompt", "text_positive", "positive_text"),
    "negative": ("negative", "negative_prompt", "text_negative", "negative_text"),
}
# Inputs of a sampler or guider; a guider with a single "conditioning" has no negative prompt.
START_INPUTS: Mapping[str, tuple[str, ...]] = {**ROLE_INPUTS, "positive": (*ROLE_INPUTS["positive"], "conditioning")}
TEXT_INPUTS = (
    *("populated_text", "text", "text_g", "text_l", "clip_g", "clip_l", "t5xxl", "prompt", "string", "value"),
    *("text1", "text2", "text_a", "text_b", "text_c", "string_a", "string_b", "string1", "string2"),
)
IMAGE_INPUTS = ("image", "images", "pixels", *LATENT_INPUTS)
MODEL_INPUTS = (
    *("model", "clip", "vae", "mask", "control_net", "clip_vision", "style_model"),
    *("noise", "sampler", "sigmas"),
)
# Inputs that do not lead to texts, and inputs that do not lead to latents.
NON_TEXT_INPUTS = frozenset({*MODEL_INPUTS, *IMAGE_INPUTS, "clip_vision_output"})
NON_LATENT_INPUTS = frozenset({*MODEL_INPUTS, "positive", "negative", "conditioning", "guider"})
# A node that discards the texts it is given.
ZERO_OUT = "conditioningzeroout"


def read_comfyui(texts: Mapping[str, Any]) -> GenerationParams | None:
    """Read the graphs under ``prompt`` (the API form) and ``workflow`` (the editor form)."""
    prompt, workflow = texts.get("prompt"), texts.get("workflow")
    graph = Graph.parse(prompt)
    editor_graph = workflow if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list) else None
    if graph is None and editor_graph is None:
        return None
    builder = GenerationBuilder("ComfyUI")
    if graph is not None:
        _read_graph(builder, graph)
    builder.fields["workflow"] = editor_graph or prompt
    return builder.build()


def is_graph(document: dict[str, Any]) -> bool:
    """Whether an object is a graph in the API form."""
    return Graph.parse(document) is not None


def _read_graph(builder: GenerationBuilder, graph: Graph) -> None:
    sampler = _find_first_sampler(graph)
    # Custom samplers have their settings in nodes of their own.
    guider = graph.linked_node(sampler, "guider") or sampler
    sigmas = graph.linked_node(sampler, "sigmas") or sampler
    noise = graph.linked_node(sampler, "noise") or sampler
    sampler_select = graph.linked_node(sampler, "sampler") or sampler
    builder.set_field("prompt", _join_texts(graph, guider, "positive"), "positive prompt")
    builder.set_field("negative_prompt", _join_texts(graph, guider, "negative"), "negative prompt")
    builder.set_field("seed", graph.resolve_value(noise, "noise_seed", "seed"), "seed")
    builder.set_field("steps", graph.resolve_value(sigmas, "steps"), "steps")
    builder.set_field("cfg_scale", graph.resolve_value(guider, "cfg", "cfg_scale"), "cfg")
    builder.set_field("denoise", graph.resolve_value(sigmas, "denoise", "denoise_strength"), "denoise")
    builder.set_field("scheduler", graph.resolve_value(sigmas, "scheduler"), "scheduler")
    builder.set_field("sampler", graph.resolve_value(sampler_select, "sampler_name"), "sampler_name")
    _set_size(builder, graph, sampler)
    for node in graph.nodes.values():
        # Layers are counted from the end: -2 is a clip skip of 2.
        skip = node.inputs.get("stop_at_clip_layer", node.inputs.get("clip_skip"))
        if type(skip) is int and "clip_skip" not in builder.fields:
            builder.set_field("clip_skip", abs(skip), "clip_skip")
        if node.kind == "fluxguidance":
            builder.add_other("guidance", graph.resolve_value(node, "guidance"))
    add_resources(builder, graph, guider)


def _find_first_sampler(graph: Graph) -> Node | None:
    """Return the sampler whose latent comes from no other sampler; of several, the first that has a text."""
    samplers = [node for node in graph.nodes.values() if _is_sampler(node)][:MAX_SAMPLERS]
    ids = {node.id for node in samplers}
    first = [node for node in samplers if not any(above.id in ids for above in _latents(graph, node))]
    with_text = (node for node in first if _join_texts(graph, graph.linked_node(node, "guider") or node, "positive"))
    return next(with_text, next(iter(first or samplers), None))


def _is_sampler(node: Node) -> bool:
    has_conditioning = not node.links.keys().isdisjoint({"positive", "guider", "text_embeds"})
    return node.inputs.keys() >= SAMPLER_INPUTS or ("sampler" in node.kind and has_conditioning)


def _latents(graph: Graph, sampler: Node) -> Iterator[Node]:
    """Yield the nodes that a sampler's latent image comes from."""
    source = graph.linked_node(sampler, *LATENT_INPUTS)

    def follow(node: Node) -> list[str]:
        return [target for name, target in node.links.items() if name not in NON_LATENT_INPUTS]

    return graph.upstream(source.id if source else None, follow)


def _set_size(builder: GenerationBuilder, graph: Graph, sampler: Node | None) -> None:
    for node in _latents(graph, sampler) if sampler else ():
        width, height = (graph.resolve_value(node, side, f"empty_latent_{side}") for side in ("width", "height"))
        if type(width) is int and type(height) is int:
            builder.set_field("width", width, "width")
            builder.set_field("height", height, "height")
            return


def _join_texts(graph: Graph, sampler: Node | None, role: str) -> str:
    """Return all texts that a role's conditioning is made of, each once, one per line."""
    start = graph.linked_node(sampler, "text_embeds") or sampler

    def inputs(node: Node) -> Iterable[str]:
        return START_INPUTS[role] if node is start else _text_inputs(node, role)

    def follow(node: Node) -> list[str]:
        return [node.links[name] for name in inputs(node) if name in node.links]

    nodes = graph.upstream(start.id if start else None, follow)
    values = (node.inputs.get(name) for node in nodes for name in inputs(node))
    texts = dict.fromkeys(value.strip() for value in values if isinstance(value, str) and value.strip())
    return "\n".join(itertools.islice(texts, MAX_TEXTS))


def _text_inputs(node: Node, role: str) -> list[str]:
    """Return the inputs through which a role's texts come; all links of a node without known text inputs."""
    if node.kind == ZERO_OUT:
        return []
    role_inputs = [name for name in ROLE_INPUTS[role] if name in node.inputs]
    text_inputs = [name for name in TEXT_INPUTS if name in node.inputs]
    links = [name for name, value in node.inputs.items() if link_target(value) and name not in NON_TEXT_INPUTS]
    return role_inputs or text_inputs or links
