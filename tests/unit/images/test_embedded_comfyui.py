"""ComfyUI graphs: plain ones, popular loaders, cycles and dead links."""

from typing import Any

import pytest

from schemas.images.embedded.comfyui.reader import read_comfyui
from schemas.images.generation_params import GenerationParams, Resource

MOST = 2**64 - 1


def read(prompt: Any) -> GenerationParams:
    """Read a graph beside an invalid workflow."""
    params = read_comfyui({"prompt": prompt, "workflow": "nonsense"})
    assert params
    return params


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """Return a node."""
    return {"class_type": kind, "inputs": inputs}


PLAIN = {
    "1": node("CheckpointLoaderSimple", ckpt_name="m.safetensors"),
    "2": node("LoraLoader", lora_name="ink.safetensors", strength_model=0.5, model=["1", 0], clip=["1", 1]),
    "3": node("CLIPTextEncode", text="cat", clip=["2", 1]),
    "4": node("CLIPTextEncode", text="dog, embedding:easy", clip=["2", 1]),
    "5": node("EmptyLatentImage", width=64, height=32),
    "6": node(
        "KSampler", seed=MOST, steps=9, cfg=7.5, sampler_name="euler", scheduler="normal", denoise=1,
        model=["2", 0], positive=["3", 0], negative=["4", 0], latent_image=["5", 0],
    ),
    "7": node("VAELoader", vae_name="v.pt"),
}  # fmt: skip
FLUX = {
    "1": node("UNETLoader", unet_name="flux.safetensors"),
    "2": node(
        "Power Lora Loader", model=["1", 0], lora_1={"on": True, "lora": "ink", "strength": 2},
        lora_2={"on": False, "lora": "off", "strength": 1},
    ),
    "3": node("CLIPTextEncodeFlux", clip_l="cat", t5xxl=["9", 0], guidance=3.5),
    "4": node("FluxGuidance", guidance=3.5, conditioning=["3", 0]),
    "5": node("BasicGuider", model=["2", 0], conditioning=["4", 0]),
    "6": node(
        "SamplerCustomAdvanced", noise=["7", 0], guider=["5", 0], sampler=["8", 0], sigmas=["10", 0],
        latent_image=["11", 0],
    ),
    "7": node("RandomNoise", noise_seed=["12", 0]),
    "8": node("KSamplerSelect", sampler_name="euler"),
    "9": node("StringConcatenate", string_a="a cat", string_b=["13", 0]),
    "10": node("BasicScheduler", scheduler="beta", steps=9, denoise=1.0, model=["2", 0]),
    "11": node("EmptySD3LatentImage", width=["14", 0], height=32),
    "12": node("Seed (rgthree)", seed=5),
    "13": node("PrimitiveString", value="with a hat"),
    "14": node("PrimitiveInt", value=64),
}  # fmt: skip
LOADER = {
    "1": node(
        "Efficient Loader", ckpt_name="m", positive="cat", negative="dog", clip_skip=-2, empty_latent_width=64,
        empty_latent_height=32, lora_stack=["2", 0], lora_name="None",
    ),
    "2": node("LoRA Stacker", lora_name_1="ink", model_str_1=0.5, lora_name_2="None", model_str_2=1),
    "3": node(
        "KSampler (Efficient)", seed=5, steps=9, cfg=7, sampler_name="euler", scheduler="normal",
        model=["1", 0], positive=["1", 1], negative=["1", 2], latent_image=["1", 3],
    ),
}  # fmt: skip
CIRCLE = {
    "1": node(
        "KSampler", steps=9, seed="x", cfg=None, sampler_name="euler", positive=["2", 0], negative=["3", 0],
        latent_image=["1", 0], model=["4", 0],
    ),
    "2": node("Unknown", conditioning=["2", 0], other=["4", 0], gone=["99", 0]),
    "3": node("ConditioningZeroOut", conditioning=["4", 0]),
    "4": node("CLIPTextEncode", text=["5", 0], model=["1", 0]),
    "5": node("ShowText", text=["6", 0]),
    "6": node("Custom", text="cat"),
    "7": None,
    "8": {"class_type": 5},
    "9": {"class_type": "NoInputs", "inputs": [1]},
}  # fmt: skip
TWICE = {
    "0": PLAIN["6"] | {"inputs": PLAIN["6"]["inputs"] | {"latent_image": ["8", 0], "steps": 3, "positive": ["4", 0]}},
    **PLAIN,
    "8": node("LatentUpscale", samples=["6", 0], width=128, height=64),
}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (
            PLAIN,
            {
                "prompt": "cat", "negative_prompt": "dog, embedding:easy", "seed": MOST, "steps": 9, "cfg_scale": 7.5,
                "sampler": "euler", "scheduler": "normal", "denoise": 1, "width": 64, "height": 32,
                "model": "m.safetensors",
                "resources": (
                    Resource("checkpoint", "m.safetensors"),
                    Resource("lora", "ink.safetensors", None, 0.5),
                    Resource("vae", "v.pt"),
                    Resource("embedding", "easy"),
                ),
            },
        ),
        (
            FLUX,
            {
                "prompt": "cat\na cat\nwith a hat", "negative_prompt": None, "seed": 5, "steps": 9, "sampler": "euler",
                "scheduler": "beta", "width": 64, "height": 32, "model": "flux.safetensors",
                "other": {"guidance": "3.5"},
                "resources": (Resource("checkpoint", "flux.safetensors"), Resource("lora", "ink", None, 2)),
            },
        ),
        (
            LOADER,
            {
                "prompt": "cat", "negative_prompt": "dog", "width": 64, "clip_skip": 2,
                "resources": (Resource("checkpoint", "m"), Resource("lora", "ink", None, 0.5)),
            },
        ),
        (CIRCLE, {"prompt": "cat", "negative_prompt": None, "steps": 9, "seed": None, "other": {"seed": "x"}}),
        (TWICE, {"prompt": "cat", "steps": 9, "width": 64}),
    ],
    ids=["plain", "flux", "loader", "circle", "twice"],
)  # fmt: skip
def test_parameters_are_found_upstream_of_the_first_sampler(graph: dict[str, Any], expected: dict[str, Any]) -> None:
    """The walk follows links through unknown node classes."""
    params = read(graph)
    assert {name: getattr(params, name) for name in expected} == expected
    assert (params.tool, params.workflow) == ("ComfyUI", graph)


def test_loras_of_multi_loaders_are_found() -> None:
    """Loaders list LoRAs as text, in one object, or in numbered inputs."""
    entries = {"__value__": [{"name": "a", "strength": 0.5}, {"name": "b", "active": False}, 3]}
    loader = node(
        "Lora Loader", text="<lora:c:0.3>", loras=entries, switch_1="Off", lora_name_1="d", lora_01="e", strength_01=2
    )
    params = read({"1": node("KSampler", model=["2", 0], steps=1, sampler_name="x", cfg=1), "2": loader})
    loras = [(resource.name, resource.weight) for resource in params.resources if resource.kind == "lora"]
    assert sorted(loras) == [("a", 0.5), ("c", 0.3), ("e", 2)]


STACK = {
    "lora_name_1": "a",
    "lora_wt_1": 1.2,
    "model_str_1": 0.8,
    "lora_name_2": "old",
    "lora_wt_2": 0.3,
    "model_str_2": 0.4,
}
EASY = {
    "lora_1_name": "a",
    "lora_1_strength": 0.6,
    "lora_1_model_strength": 0.9,
    "lora_2_name": "old",
    "lora_2_strength": 0.3,
    "lora_2_model_strength": 0.4,
}


@pytest.mark.parametrize(
    ("kind", "inputs", "expected"),
    [
        ("LoRA Stacker", STACK | {"input_mode": "simple", "lora_count": 1}, [("a", 1.2)]),
        ("LoRA Stacker", STACK | {"input_mode": "advanced", "lora_count": 1}, [("a", 0.8)]),
        ("LoRA Stacker", STACK | {"input_mode": "simple", "lora_count": 2}, [("a", 1.2), ("old", 0.3)]),
        ("LoRA Stacker", STACK | {"input_mode": "simple", "lora_count": 0}, []),
        ("LoRA Stacker", STACK, [("a", 0.8), ("old", 0.4)]),
        ("easy loraStack", EASY | {"toggle": True, "mode": "simple", "num_loras": 1}, [("a", 0.6)]),
        ("easy loraStack", EASY | {"toggle": True, "mode": "advanced", "num_loras": 1}, [("a", 0.9)]),
        ("easy loraStack", EASY | {"toggle": False, "mode": "simple", "num_loras": 2}, []),
        ("CR LoRA Stack", {"switch_1": "On", "lora_name_1": "a", "model_weight_1": 0.7}, [("a", 0.7)]),
        ("CR LoRA Stack", {"switch_1": "Off", "lora_name_1": "a", "model_weight_1": 0.7}, []),
        (
            "Stack",
            {"toggle_1": False, "lora_name_1": "a", "strength_1": 0.7, "lora_02": "b", "strength_02": 1},
            [("b", 1)],
        ),
    ],
)
def test_stackers_apply_what_their_count_mode_and_switch_say(
    kind: str, inputs: dict[str, Any], expected: list[tuple[str, float]]
) -> None:
    """LoRAs beyond the count and weights of the other mode are leftovers."""
    graph = {"1": node("KSampler", model=["2", 0], steps=1, sampler_name="x", cfg=1), "2": node(kind, **inputs)}
    loras = [(resource.name, resource.weight) for resource in read(graph).resources if resource.kind == "lora"]
    assert loras == expected
