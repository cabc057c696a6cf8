"""Images of real programs, compared with sd-parsers."""

from pathlib import Path
from typing import Any

import pytest
import sd_parsers
from PIL import Image

from ops.infra.settings import ROOT
from schemas.images.embedded import read_generation_params, read_stealth_params
from schemas.images.generation_params import GenerationParams

FOLDER = ROOT.parent / "shared" / "testdata" / "images"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
WITH_METADATA = [path for path in FILES if path.parent == FOLDER or path.name.startswith("text")]
pytestmark = pytest.mark.skipif(not FILES, reason=f"there are no pictures of other programs in {FOLDER}")
WHOLE = {"seed": int, "steps": int, "cfg_scale": float}


def prompt_parts(text: str | None) -> set[str]:
    """Return the parts of a prompt, however they are joined."""
    return {part.strip(" ,\n") for part in (text or "").replace("\n", ",").split(",") if part.strip(" ,\n")}


@pytest.mark.parametrize("path", WITH_METADATA, ids=lambda path: path.name)
def test_results_agree_with_sd_parsers(path: Path) -> None:
    """Prompts, seed, steps, CFG scale, sampler and model agree wherever both readers find a value."""
    ours, theirs = read_generation_params(path.read_bytes()), sd_parsers.ParserManager().parse(path)
    assert ours
    assert theirs
    # A graph may have several samplers; the first one is compared.
    sampler = theirs.samplers[0]
    assert prompt_parts(ours.prompt) == {part for prompt in sampler.prompts for part in prompt_parts(prompt.value)}
    assert prompt_parts(ours.negative_prompt) == {
        part for prompt in sampler.negative_prompts for part in prompt_parts(prompt.value)
    }
    assert ours.sampler == sampler.name
    assert not sampler.model or ours.model == sampler.model.name
    for name, kind in WHOLE.items():
        value = sampler.parameters.get(name)
        assert value is None or getattr(ours, name) == kind(value)
    assert theirs.generator.value == ours.tool


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("automatic1111_cropped.jpg", {"width": 512, "height": 400, "seed": 235284042, "cfg_scale": 5}),
        ("fooocus1_cropped.png", {"seed": 6952411511246973023, "clip_skip": 2, "width": 768, "scheduler": "karras"}),
        ("invokeai_dream1.png", {"width": 512, "height": 768, "steps": 50}),
        ("invokeai_sdmeta1.png", {"model": "deliberateForInvoke_v08", "seed": 2980747362}),
        ("invokeai_imeta1.png", {"model": "juggernautXL", "width": 1024}),
        ("novelai1_cropped.png", {"model": "Stable Diffusion", "cfg_scale": 10}),
        ("img2img_cropped.png", {"denoise": 0.8700000000000001, "scheduler": "normal", "width": None}),
        ("night_evening_day_morning_cropped.png", {"clip_skip": 2, "width": 704, "height": 1280, "steps": 13}),
        ("bad/text_after_idat.png", {"steps": 15, "sampler": "UniPC"}),
    ],
)
def test_fields_are_found(name: str, expected: dict[str, Any]) -> None:
    """They include fields that sd-parsers leaves under the program's names."""
    params = read_generation_params((FOLDER / name).read_bytes())
    assert {field: getattr(params, field) for field in expected} == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_torn_files_are_read(path: Path) -> None:
    """A file may end anywhere."""
    data = path.read_bytes()
    for end in range(0, len(data), max(1, len(data) // 40)):
        assert isinstance(read_generation_params(data[:end]), GenerationParams | None)


@pytest.mark.parametrize("path", WITH_METADATA, ids=lambda path: path.name)
def test_pixels_without_a_text_yield_nothing(path: Path) -> None:
    """The images are too small for a signature."""
    with Image.open(path) as image:
        pixels = image.convert("RGBA")
    assert read_stealth_params(pixels.tobytes(), *pixels.size) is None
