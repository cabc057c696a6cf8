"""Small model files for tests, as real programs write them."""

import json
import math
import random
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.library.formats.gguf import BLOCK_SIZES


def write_safetensors(
    path: Path, *, metadata: dict[str, str] | None = None, data: bytes = b"\x01\x02\x03\x04", **header: Any
) -> Path:
    """Write a model with one tensor whose bytes are ``data``."""
    entries: dict[str, Any] = {"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}} | header
    if metadata is not None:
        entries["__metadata__"] = metadata
    raw = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return path


def civitai_model(model_id: int, *version_ids: int, name: str = "Ink", **more: Any) -> dict[str, Any]:
    """Return Civitai's response about a model with these versions."""
    listed = [
        {"id": version, "name": f"v{version}", "baseModel": "SDXL 1.0", "trainedWords": [f"word{version}"], "files": []}
        for version in version_ids
    ]
    return {"id": model_id, "name": name, "type": "LORA", "tags": ["ink", "style"], "modelVersions": listed} | more


def write_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]], *, seed: str = "") -> Path:
    """Write a model with tensors of these shapes; ``seed`` determines their bytes."""
    entries, position = {}, 0
    for name, shape in shapes.items():
        end = position + math.prod(shape)
        entries[name] = {"dtype": "U8", "shape": list(shape), "data_offsets": [position, end]}
        position = end
    # Another tensor, so that small models differ too.
    data = random.Random(seed).randbytes(position + 16)
    entries["zz"] = {"dtype": "U8", "shape": [16], "data_offsets": [position, position + 16]}
    raw = json.dumps(entries).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return path


def build_gguf(metadata: Mapping[str, str], tensors: Mapping[str, tuple[int, tuple[int, ...]]]) -> bytes:
    """Return a GGUF file with these texts, and tensors of these types and shapes with random bytes."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, text in metadata.items():
        head += _gguf_string(key) + struct.pack("<I", 8) + _gguf_string(text)
    position = 0
    for name, (type_, shape) in tensors.items():
        head += _gguf_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type_, position)
        elements, size = BLOCK_SIZES.get(type_, (1, 0))
        position += math.prod(shape) // elements * size
    return head + bytes(-len(head) % 32 if tensors else 0) + random.Random(0).randbytes(position)


def _gguf_string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()
