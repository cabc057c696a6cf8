"""Metadata of InvokeAI, Fooocus, NovelAI and SwarmUI."""

from typing import Any

import pytest

from schemas.images.embedded import READERS
from schemas.images.generation_params import GenerationParams, Resource

MOST = 2**64 - 1
HEX, OTHER_HEX = "0123456789ab", "ba9876543210"


def read(**texts: Any) -> GenerationParams:
    """Read texts by keyword with the first reader that recognizes them."""
    result = next(params for reader in READERS if (params := reader(texts)))
    assert isinstance(result, GenerationParams)
    return result


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"invokeai_metadata": {
            "positive_prompt": "cat", "negative_prompt": 7, "seed": 5, "scheduler": "dpmpp_2m_k", "clip_skip": 1,
            "strength": 0.5, "model": {"name": "m", "hash": f"blake3:{HEX}", "key": "k"}, "vae": {"model_name": "v"},
            "loras": [{"model": {"name": "ink"}, "weight": 0.5}, {"lora": {"model_name": "old"}, "weight": None}, 1],
        }},
        {
            "tool": "InvokeAI", "prompt": "cat", "negative_prompt": None, "seed": 5, "sampler": "dpmpp_2m_k",
            "clip_skip": 2, "denoise": 0.5, "model": "m", "other": {"negative_prompt": "7"},
            "resources": (
                Resource("checkpoint", "m", HEX), Resource("vae", "v"), Resource("lora", "ink", None, 0.5),
                Resource("lora", "old"),
            ),
        },
    ),
    (
        {"sd-metadata": {"model_weights": "m", "image": {"prompt": "cat [dog] hat [, bird]", "seed": "x", "steps": 9}}},
        {"prompt": "cat hat", "negative_prompt": "dog, bird", "seed": None, "steps": 9, "other": {"seed": "x"}},
    ),
    ({"sd-metadata": {"image": [], "model_weights": "m"}}, {"model": "m"}),
    (
        {"Dream": '"a "quoted" cat [dog]" -s9 -S 5 -W64 --height=32 -A k_lms -f 0.5 -U 4 0.9 -C x'},
        {"prompt": 'a "quoted" cat', "seed": 5, "height": 32, "sampler": "k_lms", "denoise": 0.5},
    ),
    ({"Dream": "a cat -s 9 -S 5"}, {"prompt": "a cat", "steps": 9, "seed": 5}),
    (
        {"parameters": {
            "metadata_scheme": "fooocus", "base_model": "m", "base_model_hash": HEX, "prompt": "cat", "seed": str(MOST),
            "resolution": [64, 32], "guidance_scale": None, "loras": [["ink", 0.5, OTHER_HEX], ["x"], []],
            "lora_combined_1": "old.safetensors : 0.3", "refiner_model": "None", "steps": -3, "sharpness": 2,
        }},
        {
            "tool": "Fooocus", "prompt": "cat", "seed": MOST, "width": 64, "height": 32, "steps": None,
            "other": {"steps": "-3", "metadata_scheme": "fooocus", "sharpness": "2"},
            "resources": (
                Resource("checkpoint", "m", HEX), Resource("lora", "ink", OTHER_HEX, 0.5), Resource("lora", "x"),
                Resource("lora", "old.safetensors", None, 0.3),
            ),
        },
    ),
    (
        {"Software": "NovelAI", "Source": f"NovelAI Diffusion V4 {HEX[:8].upper()}", "Comment": {
            "prompt": "cat", "uc": "dog", "scale": "high", "width": 64, "noise_schedule": "karras", "sm": False,
        }},
        {
            "tool": "NovelAI", "prompt": "cat", "negative_prompt": "dog", "cfg_scale": None, "width": 64,
            "scheduler": "karras", "model": "NovelAI Diffusion V4",
            "resources": (Resource("checkpoint", "NovelAI Diffusion V4", HEX[:8]),),
            "other": {"scale": "high", "Software": "NovelAI", "sm": "false"},
        },
    ),
    (
        {"parameters": {
            "sui_image_params": {
                "prompt": "cat", "negativeprompt": "", "model": "a/m.safetensors", "seed": 5, "cfgscale": 7,
                "loras": ["ink", "b"], "loraweights": ["0.5"], "clipstopatlayer": -2, "initimagecreativity": 0.6,
                "swarm_version": "0.9",
            },
            "sui_extra_data": {"date": "2024"},
            "sui_models": [{"name": "a/m", "param": "model", "hash": f"0x{HEX}"}, {"name": "ink", "param": "loras"}, 4],
        }},
        {
            "tool": "SwarmUI", "prompt": "cat", "model": "a/m.safetensors", "cfg_scale": 7, "clip_skip": 2,
            "denoise": 0.6, "other": {"swarm_version": "0.9", "date": "2024"},
            "resources": (
                Resource("checkpoint", "a/m.safetensors", HEX), Resource("lora", "ink", None, 0.5),
                Resource("lora", "b"),
            ),
        },
    ),
    (
        {"parameters": {"sui_image_params": {"loras": "a, b", "loraweights": "0.5,1"}}},
        {"resources": (Resource("lora", "a", None, 0.5), Resource("lora", "b", None, 1))},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "expected"), CASES, ids=[next(iter(texts)) for texts, _ in CASES])
def test_metadata_of_each_program_is_read(texts: dict[str, Any], expected: dict[str, Any]) -> None:
    """Field by field; an invalid value costs no other."""
    result = read(**texts)
    assert {name: getattr(result, name) for name in expected} == expected


def caption(base: str, *characters: str) -> dict[str, Any]:
    """Return a prompt of NovelAI 4 with texts for characters."""
    return {"caption": {"base_caption": base, "char_captions": [{"char_caption": text} for text in characters]}}


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        (caption("2girls", "girl, red hair", "girl, blue hair"), caption("lowres", "hat", ""),
         ("2girls | girl, red hair | girl, blue hair", "lowres | hat")),
        (caption("2girls", "", ""), caption("lowres", "hat"), ("2girls", "lowres | hat")),
        (caption("2girls"), caption("lowres"), ("2girls", "lowres")),
        ({"caption": {"char_captions": [7, {"char_caption": 8}]}}, "nonsense", ("2girls", "lowres")),
    ],
)  # fmt: skip
def test_characters_of_novelai_are_part_of_the_prompts(positive: Any, negative: Any, expected: tuple[str, str]) -> None:
    """Separated as in NovelAI's prompts of one text."""
    comment = {"prompt": "2girls", "uc": "lowres", "scale": 5, "v4_prompt": positive, "v4_negative_prompt": negative}
    params = read(Comment=comment, Description="2girls", Software="NovelAI")
    assert (params.prompt, params.negative_prompt) == expected
    assert "Description" not in params.other
