"""The list of parts of a diffusers folder."""

import json

import pytest

from schemas.format_error import FormatError
from schemas.library.formats.diffusers_index import read_diffusers_index


@pytest.mark.parametrize(
    ("document", "base_model"),
    [
        ({"_class_name": "StableDiffusionXLPipeline"}, "SDXL 1.0"),
        ({"_class_name": "StableDiffusionXLPipeline", "_name_or_path": "stabilityai/sdxl-turbo"}, "SDXL Turbo"),
        ({"_class_name": "FluxPipeline", "_name_or_path": "black-forest-labs/FLUX.1-schnell"}, "Flux.1 S"),
        ({"_class_name": "FluxKontextPipeline"}, "Flux.1 Kontext"),
        ({"_class_name": "Flux2Pipeline"}, "Flux.2 D"),
        ({"_class_name": "QwenImageEditPlusPipeline"}, "Qwen Image Edit"),
        ({"_class_name": "StableDiffusionPipeline"}, None),
        ({"_class_name": "StableDiffusion3Pipeline", "_name_or_path": "./sd3"}, "SD 3"),
        ({"_class_name": "FluxThirdPipeline"}, None),
        ({"_class_name": 7, "_name_or_path": []}, None),
        ({}, None),
    ],
)
def test_the_repository_or_the_class_names_the_base_model(document: dict[str, object], base_model: str | None) -> None:
    """Classes that serve several base models, such as all of SD 1 and SD 2, name none."""
    assert read_diffusers_index(json.dumps(document).encode()) == base_model


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"", "not_json"), (b"[]", "wrong_shape"), (b"\xff", "not_text"), (b" " * 1_000_001, "too_large")],
)
def test_an_invalid_list_of_parts_is_a_problem(raw: bytes, code: str) -> None:
    """The parts are indexed all the same."""
    with pytest.raises(FormatError) as caught:
        read_diffusers_index(raw)
    assert caught.value.code == code
