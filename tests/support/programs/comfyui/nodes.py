"""The nodes of the server: their descriptions as ComfyUI publishes them, what they compute, and its validation.

Instead of tensors, the nodes pass on descriptions. What is painted depends on every input that a real picture depends
on, so that a test can tell which workflow a picture is for.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

CHECKPOINTS = ("v1-5-pruned-emaonly-fp16.safetensors", "dreamshaper_8.safetensors")
LORAS = ("ink wash.safetensors", "detail.safetensors")
SAMPLERS = ("euler", "euler_ancestral", "dpmpp_2m", "ddim")
SCHEDULERS = ("normal", "karras", "simple")
MAX_SEED = 2**64 - 1
OUTPUT_CLASSES = frozenset({"SaveImage", "PreviewImage"})
# Loaders without a use here, which the page asks for when it starts.
OTHER_LOADERS = {
    "VAELoader": ("vae_name", "VAE"),
    "UNETLoader": ("unet_name", "MODEL"),
    "CLIPLoader": ("clip_name", "CLIP"),
    "ControlNetLoader": ("control_net_name", "CONTROL_NET"),
    "DiffControlNetLoader": ("control_net_name", "CONTROL_NET"),
    "StyleModelLoader": ("style_model_name", "STYLE_MODEL"),
    "CLIPVisionLoader": ("clip_name", "CLIP_VISION"),
    "UpscaleModelLoader": ("model_name", "UPSCALE_MODEL"),
    "GLIGENLoader": ("gligen_name", "GLIGEN"),
    "HypernetworkLoader": ("hypernetwork_name", "MODEL"),
    "ImageOnlyCheckpointLoader": ("ckpt_name", "MODEL"),
    "LoraLoaderModelOnly": ("lora_name", "MODEL"),
    "PhotoMakerLoader": ("photomaker_model_name", "PHOTOMAKER"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """What is painted: a text that contains all that it depends on, its size, and the count of pictures."""

    text: str
    width: int = 512
    height: int = 512
    count: int = 1


@dataclass(frozen=True, slots=True)
class NodeClass:
    """A class of nodes; ``compute`` gets the values of its inputs by name and returns one value for each output."""

    required: Mapping[str, list[Any]]
    outputs: tuple[str, ...]
    compute: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    category: str = "nodes"
    hidden: Mapping[str, str] = field(default_factory=dict)


def _choice(*values: str) -> list[Any]:
    return [list(values)]


def _number(kind: str, default: float, lowest: float, highest: float, **options: Any) -> list[Any]:
    return [kind, {"default": default, "min": lowest, "max": highest, **options}]


def _sample(inputs: Mapping[str, Any]) -> tuple[Picture]:
    latent: Picture = inputs["latent_image"]
    parts = [inputs["positive"], inputs["negative"], inputs["seed"], inputs["steps"], inputs["sampler_name"]]
    parts += [inputs["model"], latent.text] if latent.text else [inputs["model"]]
    return (replace(latent, text="|".join(map(str, parts))),)


def _load_lora(inputs: Mapping[str, Any]) -> tuple[str, str]:
    return f"{inputs['model']}+{inputs['lora_name']}:{inputs['strength_model']:g}", inputs["clip"]


NODES: dict[str, NodeClass] = {
    "KSampler": NodeClass(
        {
            "model": ["MODEL"],
            "seed": _number("INT", 0, 0, MAX_SEED, control_after_generate=True),
            "steps": _number("INT", 20, 1, 10000),
            "cfg": _number("FLOAT", 8.0, 0.0, 100.0, step=0.1, round=0.01),
            "sampler_name": _choice(*SAMPLERS),
            "scheduler": _choice(*SCHEDULERS),
            "positive": ["CONDITIONING"],
            "negative": ["CONDITIONING"],
            "latent_image": ["LATENT"],
            "denoise": _number("FLOAT", 1.0, 0.0, 1.0, step=0.01),
        },
        ("LATENT",),
        _sample,
        "sampling",
    ),
    "CheckpointLoaderSimple": NodeClass(
        {"ckpt_name": _choice(*CHECKPOINTS)},
        ("MODEL", "CLIP", "VAE"),
        lambda inputs: (inputs["ckpt_name"], "clip", "vae"),
        "loaders",
    ),
    "LoraLoader": NodeClass(
        {
            "model": ["MODEL"],
            "clip": ["CLIP"],
            "lora_name": _choice(*LORAS),
            "strength_model": _number("FLOAT", 1.0, -100.0, 100.0, step=0.01),
            "strength_clip": _number("FLOAT", 1.0, -100.0, 100.0, step=0.01),
        },
        ("MODEL", "CLIP"),
        _load_lora,
        "loaders",
    ),
    "CLIPTextEncode": NodeClass(
        {"text": ["STRING", {"multiline": True, "dynamicPrompts": True}], "clip": ["CLIP"]},
        ("CONDITIONING",),
        lambda inputs: (inputs["text"],),
        "conditioning",
    ),
    "EmptyLatentImage": NodeClass(
        {
            "width": _number("INT", 512, 16, 16384, step=8),
            "height": _number("INT", 512, 16, 16384, step=8),
            "batch_size": _number("INT", 1, 1, 4096),
        },
        ("LATENT",),
        lambda inputs: (Picture("", inputs["width"], inputs["height"], inputs["batch_size"]),),
        "latent",
    ),
    "LoadImage": NodeClass(
        {"image": [["example.png"], {"image_upload": True}]},
        ("IMAGE", "MASK"),
        lambda inputs: (inputs["image"], inputs["image"]),
        "image",
    ),
    "VAEEncode": NodeClass(
        {"pixels": ["IMAGE"], "vae": ["VAE"]}, ("LATENT",), lambda inputs: (inputs["pixels"],), "latent"
    ),
    "VAEDecode": NodeClass(
        {"samples": ["LATENT"], "vae": ["VAE"]}, ("IMAGE",), lambda inputs: (inputs["samples"],), "latent"
    ),
    "SaveImage": NodeClass(
        {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
        (),
        lambda inputs: (inputs["images"],),
        "image",
        {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
    ),
    "PreviewImage": NodeClass(
        {"images": ["IMAGE"]}, (), lambda inputs: (inputs["images"],), "image", {"prompt": "PROMPT"}
    ),
    **{
        name: NodeClass({value: _choice()}, (output,), lambda _: (None,), "loaders")
        for name, (value, output) in OTHER_LOADERS.items()
    },
}


def describe_nodes(input_names: list[str]) -> dict[str, Any]:
    """Return ``object_info``; ``input_names`` are the uploaded pictures, which LoadImage offers."""
    described = {name: _describe(name, node) for name, node in NODES.items()}
    described["LoadImage"]["input"]["required"]["image"] = [sorted(input_names), {"image_upload": True}]
    return described


def _describe(name: str, node: NodeClass) -> dict[str, Any]:
    return {
        "input": {"required": dict(node.required), "hidden": dict(node.hidden)},
        "input_order": {"required": list(node.required), "hidden": list(node.hidden)},
        "output": list(node.outputs),
        "output_is_list": [False] * len(node.outputs),
        "output_name": list(node.outputs),
        "name": name,
        "display_name": name,
        "description": "",
        "python_module": "nodes",
        "category": node.category,
        "output_node": name in OUTPUT_CLASSES,
        "deprecated": False,
        "experimental": False,
    }


def validate(workflow: Mapping[str, Any], input_names: list[str]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the error of a workflow, None if it can be executed, and the errors by node."""
    for node_id, node in workflow.items():
        if node.get("class_type") not in NODES:
            message = f"Cannot execute because node {node.get('class_type')} does not exist."
            return _error("invalid_prompt", message, f"Node ID '#{node_id}'"), {}
    outputs = [node_id for node_id, node in workflow.items() if node["class_type"] in OUTPUT_CLASSES]
    if not outputs:
        return _error("prompt_no_outputs", "Prompt has no outputs", ""), {}
    node_errors = {}
    for node_id, node in workflow.items():
        if errors := [*_find_errors(node, input_names)]:
            node_errors[node_id] = {
                "errors": errors,
                "dependent_outputs": outputs,
                "class_type": node["class_type"],
            }
    if node_errors:
        return _error("prompt_outputs_failed_validation", "Prompt outputs failed validation", ""), node_errors
    return None, {}


def _error(kind: str, message: str, details: str, **extra_info: Any) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def _find_errors(node: Mapping[str, Any], input_names: list[str]) -> list[dict[str, Any]]:
    return [
        error
        for name, config in NODES[node["class_type"]].required.items()
        if (error := _find_error(node, name, config, input_names))
    ]


def _find_error(node: Mapping[str, Any], name: str, config: list[Any], input_names: list[str]) -> dict[str, Any] | None:
    value, kind = node["inputs"].get(name), config[0]
    extra = {"input_name": name, "input_config": config, "received_value": value}
    wrong = ("", "", "")
    if value is None:
        wrong = ("required_input_missing", "Required input is missing", name)
    elif isinstance(value, list):
        pass
    elif name == "image":
        if value not in input_names:
            details = f"{name} - Invalid image file: {value}"
            wrong = ("custom_validation_failed", "Custom validation failed for node", details)
    elif isinstance(kind, list) and value not in kind:
        wrong = ("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {kind}")
    elif kind in ("INT", "FLOAT") and value > config[1]["max"]:
        wrong = ("value_bigger_than_max", f"Value {value} bigger than max of {config[1]['max']}", name)
    elif kind in ("INT", "FLOAT") and value < config[1]["min"]:
        wrong = ("value_smaller_than_min", f"Value {value} smaller than min of {config[1]['min']}", name)
    return _error(*wrong, **extra) if wrong[0] else None


def signature(workflow: Mapping[str, Any], node_id: str) -> str:
    """Return what a node's result depends on, itself and all before it: equal for results that can be reused."""
    node = workflow[node_id]
    inputs = {
        name: signature(workflow, value[0]) + str(value[1]) if isinstance(value, list) else value
        for name, value in sorted(node["inputs"].items())
    }
    return hashlib.sha256(f"{node['class_type']}|{inputs}".encode()).hexdigest()
