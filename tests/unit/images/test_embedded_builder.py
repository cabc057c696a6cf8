"""Validation and limits of untrusted generation parameters, and their names on the wire."""

import json
from typing import Any

import pytest

from schemas.images.embedded.builder import GenerationBuilder, combine, parse_hash, validate_value
from schemas.images.generation_params import GenerationParams, Resource

MOST = 2**64 - 1
HEX = "0123456789ab"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seed", True, None),
        ("seed", 5.0, 5),
        ("seed", "5.0", 5),
        ("seed", "５", None),  # noqa: RUF001 - digits of another script are what is meant
        ("seed", "1_0", None),
        ("steps", 0, None),
        ("steps", [9], None),
        ("width", 1e300, None),
        ("cfg_scale", float("nan"), None),
        ("cfg_scale", 10**400, None),
        ("cfg_scale", "inf", None),
        ("cfg_scale", "7,5", None),
        ("denoise", "1.01", None),
        ("weight", "-.5", -0.5),
        ("prompt", "x" * 100_001, "x" * 100_000),
        ("sampler", " a\n b ", "a b"),
        ("model", {}, None),
    ],
)
def test_values_are_validated(name: str, value: Any, expected: Any) -> None:
    """Each field has a type and a range."""
    assert validate_value(name, value) == expected


@pytest.mark.parametrize("value", [None, 5, "", "xyz", "e3b0c442", "e3b0c44298fc1c149afb", HEX + "\n<b>", "1" * 65])
def test_invalid_hashes_are_dropped(value: Any) -> None:
    """The hash of no bytes counts as invalid."""
    assert parse_hash(value) is None


def test_builders_are_bounded() -> None:
    """The number of resources and other values, and their length, are limited."""
    builder = GenerationBuilder("x")
    for number in range(1000):
        builder.add_other(f"key {number}", "x" * 20_000)
        builder.add_resource("lora", f"lora {number}")
    params = builder.build()
    assert params
    assert (len(params.other), len(params.other["key 0"]), len(params.resources)) == (200, 10_000, 100)


def test_json_uses_wire_names() -> None:
    """Unknown parameters are left out."""
    lora, version = Resource("lora", "ink", HEX, 0.0), Resource("checkpoint", None, None, None, 7)
    params = GenerationParams(
        "x", "cat", "dog", MOST, 9, 7.5, "e", "k", 64, 32, 2, 0.0, "m", (lora, version), {"1": {}}, {"a": "b"}
    )
    assert params.to_json() == {
        "tool": "x", "prompt": "cat", "negativePrompt": "dog", "seed": MOST, "steps": 9, "cfgScale": 7.5,
        "sampler": "e", "scheduler": "k", "width": 64, "height": 32, "clipSkip": 2, "denoise": 0.0, "model": "m",
        "loras": [{"name": "ink", "strength": 0.0}],
        "resources": [
            {"type": "lora", "name": "ink", "hash": HEX, "weight": 0.0}, {"type": "checkpoint", "civitaiVersionId": 7}
        ],
        "comfyWorkflow": {"1": {}}, "other": {"a": "b"},
    }  # fmt: skip
    assert json.loads(json.dumps(params.to_json()))["seed"] == MOST
    assert GenerationParams("x").to_json() == {"tool": "x"}


def test_two_texts_are_combined() -> None:
    """Models are matched by name; the second text fills fields that the first leaves open."""
    first = GenerationParams("a", prompt="cat", resources=(Resource("lora", "ink", None, 0.5),), other={"k": "1"})
    second = GenerationParams(
        "b", "dog", seed=5, resources=(Resource("lora", "Ink.safetensors", HEX),), other={"k": "2", "l": "3"}
    )
    assert combine(first, second) == GenerationParams(
        "a", "cat", seed=5, resources=(Resource("lora", "ink", HEX, 0.5),), other={"k": "1", "l": "3"}
    )
