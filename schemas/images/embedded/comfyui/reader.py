"""What a ComfyUI graph says of the picture that came out of it. Pure.

From the sampler that began: upwards to texts, models and the size of the latent.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.images.embedded.builder import GenerationBuilder
from schemas.images.embedded.comfyui.graph import Graph, Node, link_target
from schemas.images.embedded.comfyui.resources import add_resources
from schemas.images.generation_params import GenerationParams

# Of those that are looked at, so that no graph takes long.
MOST_SAMPLERS = 8
MOST_TEXTS = 100
BASIC = {"sampler_name", "steps", "cfg"}
LATENTS = ("latent_image", "latent", "samples", "latents")
# A node whose texts are for either role has them under that role's names; any other under names of its own.
ROLES: Mapping[str, tuple[str, ...]] = {
    "positive": ("positive", "positive_prompt", "text_positive", "positive_text"),
    "negative": ("negative", "negative_prompt", "text_negative", "negative_text"),
}
# Where the walk for a role begins, at a sampler or a guider: one that takes but one conditioning has no negative one.
STARTS: Mapping[str, tuple[str, ...]] = {**ROLES, "positive": (*ROLES["positive"], "conditioning")}
TEXTS = (
    "populated_text",
    "text",
    "text_g",
    "text_l",
    "clip_g",
    "clip_l",
    "t5xxl",
    "prompt",
    "string",
    "value",
    "text1",
    "text2",
    "text_a",
    "text_b",
    "text_c",
    "string_a",
    "string_b",
    "string1",
    "string2",
)
PICTURES = ("image", "images", "pixels", *LATENTS)
OTHERS = ("model", "clip", "vae", "mask", "control_net", "clip_vision", "style_model", "noise", "sampler", "sigmas")
NO_TEXTS = frozenset({*OTHERS, *PICTURES, "clip_vision_output"})
NO_LATENTS = frozenset({*OTHERS, "positive", "negative", "conditioning", "guider"})
EMPTY_AGAIN = "conditioningzeroout"


def read_comfyui(said: Mapping[str, Any]) -> GenerationParams | None:
    """What stands under ``prompt`` and ``workflow``, if those are graphs."""
    prompt, workflow = said.get("prompt"), said.get("workflow")
    graph = Graph.parse(prompt)
    shown = workflow if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list) else None
    if graph is None and shown is None:
        return None
    draft = GenerationBuilder("ComfyUI")
    if graph is not None:
        _fill(draft, graph)
    draft.fields["workflow"] = shown or prompt
    return draft.build()


def is_graph(found: dict[str, Any]) -> bool:
    """Whether an object is a graph in the form in which it is run."""
    return Graph.parse(found) is not None


def _fill(draft: GenerationBuilder, graph: Graph) -> None:
    sampler = _first_sampler(graph)
    guider = graph.linked_node(sampler, "guider") or sampler
    sigmas = graph.linked_node(sampler, "sigmas") or sampler
    draft.set_field("prompt", _texts(graph, guider, "positive"), "positive prompt")
    draft.set_field("negative_prompt", _texts(graph, guider, "negative"), "negative prompt")
    noise = graph.linked_node(sampler, "noise") or sampler
    draft.set_field("seed", graph.resolve_value(noise, "noise_seed", "seed"), "seed")
    draft.set_field("steps", graph.resolve_value(sigmas, "steps"), "steps")
    draft.set_field("cfg_scale", graph.resolve_value(guider, "cfg", "cfg_scale"), "cfg")
    draft.set_field("denoise", graph.resolve_value(sigmas, "denoise", "denoise_strength"), "denoise")
    draft.set_field("scheduler", graph.resolve_value(sigmas, "scheduler"), "scheduler")
    draft.set_field(
        "sampler", graph.resolve_value(graph.linked_node(sampler, "sampler") or sampler, "sampler_name"), "sampler_name"
    )
    _put_size(draft, graph, sampler)
    _put_rest(draft, graph)
    add_resources(draft, graph, guider)


def _first_sampler(graph: Graph) -> Node | None:
    """The one that begins: whose latent comes from no other; of several the first that has a text."""
    samplers = [node for node in graph.nodes.values() if _is_sampler(node)][:MOST_SAMPLERS]
    ids = {node.id for node in samplers}
    begin = [node for node in samplers if not any(above.id in ids for above in _latents(graph, node))]
    texts = (node for node in begin if _texts(graph, graph.linked_node(node, "guider") or node, "positive"))
    return next(texts, next(iter(begin or samplers), None))


def _is_sampler(node: Node) -> bool:
    linked_to_texts = not node.links.keys().isdisjoint({"positive", "guider", "text_embeds"})
    return node.inputs.keys() >= BASIC or ("sampler" in node.kind and linked_to_texts)


def _latents(graph: Graph, sampler: Node) -> Iterator[Node]:
    """Where the latent comes from that it begins with."""
    above = graph.linked_node(sampler, *LATENTS)
    return graph.upstream(above.id if above else None, _without(NO_LATENTS))


def _without(names: frozenset[str]) -> Any:
    return lambda node: [target for name, target in node.links.items() if name not in names]


def _put_size(draft: GenerationBuilder, graph: Graph, sampler: Node | None) -> None:
    for node in _latents(graph, sampler) if sampler else ():
        sizes = [graph.resolve_value(node, side, f"empty_latent_{side}") for side in ("width", "height")]
        if all(type(size) is int for size in sizes):
            draft.set_field("width", sizes[0], "width")
            draft.set_field("height", sizes[1], "height")
            return


def _put_rest(draft: GenerationBuilder, graph: Graph) -> None:
    """What stands in nodes of its own: where CLIP ends, counted from there, and the guidance of Flux."""
    for node in graph.nodes.values():
        skip = node.inputs.get("stop_at_clip_layer", node.inputs.get("clip_skip"))
        if type(skip) is int and "clip_skip" not in draft.fields:
            draft.set_field("clip_skip", abs(skip), "clip_skip")
        if node.kind == "fluxguidance":
            draft.add_other("guidance", graph.resolve_value(node, "guidance"))


def _texts(graph: Graph, sampler: Node | None, role: str) -> str:
    """All texts that this role's conditioning is made of, each once, a line each."""
    start = graph.linked_node(sampler, "text_embeds") or sampler

    def inputs(node: Node) -> Iterable[str]:
        return STARTS[role] if node is start else _text_inputs(node, role)

    def follow(node: Node) -> list[str]:
        return [node.links[name] for name in inputs(node) if name in node.links]

    nodes = graph.upstream(start.id if start else None, follow)
    values = (node.inputs.get(name) for node in nodes for name in inputs(node))
    texts = dict.fromkeys(value.strip() for value in values if isinstance(value, str) and value.strip())
    return "\n".join(itertools.islice(texts, MOST_TEXTS))


def _text_inputs(node: Node, role: str) -> list[str]:
    """The inputs that texts of a role come through."""
    if node.kind == EMPTY_AGAIN:
        return []
    own = [name for name in ROLES[role] if name in node.inputs]
    texts = [name for name in TEXTS if name in node.inputs]
    return own or texts or [name for name, value in node.inputs.items() if link_target(value) and name not in NO_TEXTS]
