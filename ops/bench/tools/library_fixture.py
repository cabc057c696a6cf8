"""A large model library for the benchmark ``library``: real headers, and sparse files in place of tensors."""

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ops.infra.settings import ROOT

FOLDERS = ("loras/sdxl/people", "loras/sdxl/styles", "loras/flux", "loras/sd15", "checkpoints/sdxl", "vae")
BASE_MODELS = ("sdxl_base_v1-0", "flux1", "sd_v1")
# As many tensors as a small LoRA has.
BLOCKS = 88
RANK = 32
FLOAT16_BYTES = 2
WORDS = ("ink", "wash", "neon", "portrait", "castle", "winter", "film", "grain", "anime", "retro", "soft", "light")
SIDECAR_EVERY = 3


def create_models(folder: Path, count: int) -> None:
    """Create ``count`` models below ``folder``; every third has a Civitai sidecar, as downloaders leave it."""
    tensors, size_bytes = _tensors()
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / FOLDERS[number % len(FOLDERS)] / f"{_name(number)}.safetensors"
        _write_model(path, tensors, size_bytes, number)
        if number % SIDECAR_EVERY == 0:
            path.with_suffix(".civitai.info").write_text(json.dumps(_sidecar(number)))


def model_paths(folder: Path) -> Iterator[Path]:
    """Yield all models below ``folder``, always in the same order."""
    for name in FOLDERS:
        yield from sorted((folder / name).glob("*.safetensors"))


def _name(number: int) -> str:
    words = random.Random(number).sample(WORDS, 2)
    return f"{words[0]}_{words[1]}_{number:06}_v1"


def _tensors() -> tuple[dict[str, object], int]:
    """Return the tensor entries of a header and the size of the data they describe."""
    entries: dict[str, object] = {}
    offset = 0
    for block in range(BLOCKS):
        for part, shape in (("lora_down.weight", [RANK, 640]), ("lora_up.weight", [640, RANK]), ("alpha", [])):
            end = offset + FLOAT16_BYTES * math.prod(shape)
            entries[f"lora_unet_block_{block}_attn.{part}"] = {
                "dtype": "F16",
                "shape": shape,
                "data_offsets": [offset, end],
            }
            offset = end
    return entries, offset


def _write_model(path: Path, tensors: dict[str, object], size_bytes: int, number: int) -> None:
    metadata = {
        "ss_output_name": path.stem,
        "ss_network_dim": str(RANK),
        "ss_network_alpha": "16",
        "ss_base_model_version": BASE_MODELS[number % len(BASE_MODELS)],
        "ss_tag_frequency": json.dumps({"10_x": dict.fromkeys(WORDS, number % 50 + 1)}),
        "ss_seed": str(number),
    }
    header = json.dumps({"__metadata__": metadata} | tensors).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        # Different data in each file: files with equal hashes would be one model.
        file.write(number.to_bytes(8, "little"))
        file.truncate(8 + len(header) + size_bytes)


def _sidecar(number: int) -> dict[str, object]:
    return {
        "id": 100_000 + number,
        "modelId": 200_000 + number,
        "name": "v1.0",
        "baseModel": "SDXL 1.0",
        "publishedAt": f"2025-{number % 12 + 1:02}-{number % 28 + 1:02}T00:00:00.000Z",
        "trainedWords": [f"trigger{number}"],
        "description": "<p>" + "A model of things. " * 20 + "</p>",
        "stats": {"downloadCount": number * 7 % 90_000, "thumbsUpCount": number % 900},
        "model": {"name": _name(number).replace("_", " "), "type": "LORA", "tags": [WORDS[number % len(WORDS)], "x"]},
        "files": [],
        "images": [],
    }


def rename_all(folder: Path) -> None:
    """Rename every model and its sidecars."""
    for path in list(model_paths(folder)):
        for file in path.parent.glob(f"{path.stem}.*"):
            os.rename(file, file.with_name(f"renamed_{file.name}"))  # noqa: PTH104 - ten thousand times


def scan(folder: Path, data: Path) -> dict[str, Any]:
    """Run one scan in a process of its own and return its figures; ``seconds`` excludes the start of Python."""
    command = [sys.executable, "-m", "ops", "library", "scan", "--json"]
    process = subprocess.run(
        command, env=_environment(folder, data), cwd=ROOT, capture_output=True, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return figures


def _environment(folder: Path, data: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    settings = {"DATA_DIR": str(data), "MODELS_DIR": str(folder), "LOG_LEVEL": "warning"}
    return inherited | {"PYTHONPATH": str(ROOT)} | settings
