"""Reads the header of GGUF files: its key-value pairs.

Source: the format's description (ggml-org/ggml, docs/gguf.md).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from schemas.format_error import FormatError
from schemas.library.formats.base_models import find_base_model
from schemas.library.formats.tensor_names import CHECKPOINT, TEXT_ENCODER

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_PAIRS = 10_000
MAX_STRING_BYTES = 1_000_000
MAX_ARRAY_ELEMENTS = 10_000_000
# Large vocabularies take 10 MB.
MAX_HEADER_BYTES = 32 * 1024 * 1024
STRING, ARRAY = 8, 9
LENGTH_BYTES = 8
# Text encoders are converted to the architectures of the language models that they are.
TEXT_ARCHITECTURES = ("t5", "clip", "llama", "qwen2", "qwen3", "gemma", "umt5", "mistral", "byt5")
# struct formats by the format's type numbers.
SCALARS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """A header. ``metadata`` maps keys to strings and numbers, and for arrays to their length."""

    version: int
    tensor_count: int
    metadata: Mapping[str, Any] = field(repr=False)


@dataclass(slots=True)
class _HeaderStream:
    """A file that stops after ``MAX_HEADER_BYTES``: a sparse file can declare any number of entries at no cost."""

    file: BinaryIO
    remaining_bytes: int = MAX_HEADER_BYTES

    def read(self, count: int) -> bytes:
        self.remaining_bytes -= count
        if self.remaining_bytes < 0:
            raise FormatError("header_too_large", f"The header has more than {MAX_HEADER_BYTES} bytes.")
        data = self.file.read(count)
        if len(data) < count:
            raise FormatError("truncated", "The file ends within its header: an incomplete download?")
        return data

    def read_scalar(self, form: str) -> Any:
        return struct.unpack(form, self.read(struct.calcsize(form)))[0]

    def read_string(self) -> str:
        length = self.read_scalar("<Q")
        if length > MAX_STRING_BYTES:
            raise FormatError("header_too_large", f"The header has a string of {length} bytes.")
        return self.read(length).decode(errors="replace")


def find_gguf_type(architecture: str) -> str | None:
    """Return Civitai's type of a file with this architecture, or that of text encoders; None if it is unknown."""
    name = architecture.strip().lower()
    if name.startswith(TEXT_ARCHITECTURES):
        return TEXT_ENCODER
    return CHECKPOINT if find_base_model(name) else None


def read_gguf_header(file: BinaryIO) -> GgufHeader:
    """Read the header of a file that is open at its beginning.

    Raises:
        FormatError: the file is not GGUF, is truncated, or its header exceeds a limit.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise FormatError("no_header", "The file does not begin with GGUF.")
    stream = _HeaderStream(file)
    version = stream.read_scalar("<I")
    if version not in VERSIONS:
        raise FormatError("unknown_version", f"GGUF version {version} is not supported.")
    tensor_count, pairs = stream.read_scalar("<Q"), stream.read_scalar("<Q")
    if pairs > MAX_PAIRS:
        raise FormatError("header_too_large", f"The header declares {pairs} entries; {MAX_PAIRS:,} are allowed.")
    metadata = {}
    for _ in range(pairs):
        key = stream.read_string()
        metadata[key] = _read_value(stream, stream.read_scalar("<I"))
    return GgufHeader(version, tensor_count, metadata)


def _read_value(stream: _HeaderStream, kind: int) -> Any:
    if kind in SCALARS:
        return stream.read_scalar(SCALARS[kind])
    if kind == STRING:
        return stream.read_string()
    if kind == ARRAY:
        return _skip_array(stream)
    raise FormatError("bad_header", f"The header has an entry of the unknown type {kind}.")


def _skip_array(stream: _HeaderStream) -> int:
    """Skip an array and return its length."""
    kind, count = stream.read_scalar("<I"), stream.read_scalar("<Q")
    if count > MAX_ARRAY_ELEMENTS:
        raise FormatError("header_too_large", f"The header has an array of {count} elements.")
    if kind in SCALARS:
        stream.read(struct.calcsize(SCALARS[kind]) * count)
    elif kind == STRING:
        # Checked before the loop: ten million empty strings would take a minute to skip.
        if count * LENGTH_BYTES > stream.remaining_bytes:
            raise FormatError("header_too_large", f"The header has an array of {count} strings.")
        for _ in range(count):
            stream.read_string()
    else:
        raise FormatError("bad_header", f"The header has an array of the unsupported type {kind}.")
    return int(count)
