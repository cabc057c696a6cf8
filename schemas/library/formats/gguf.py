"""Reads the header of GGUF files: its key-value pairs, and how long the file must be for its tensors.

Source: the format's description (ggml-org/ggml, docs/gguf.md).
"""

import math
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
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 4
ALIGNMENT_KEY, DEFAULT_ALIGNMENT = "general.alignment", 32
# Elements and bytes of a block of each type, by the format's type numbers.
BLOCK_SIZES: Mapping[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17),
}  # fmt: skip
# Text encoders are converted to the architectures of the language models that they are.
TEXT_ARCHITECTURES = ("t5", "clip", "llama", "qwen2", "qwen3", "gemma", "umt5", "mistral", "byt5")
# struct formats by the format's type numbers.
SCALARS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """A header. ``metadata`` maps keys to strings and numbers, and for arrays to their length.

    ``size_bytes`` is the least size of the file: tensors of unknown types count as empty.
    """

    version: int
    tensor_count: int
    size_bytes: int
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

    @property
    def position(self) -> int:
        return MAX_HEADER_BYTES - self.remaining_bytes

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
    return GgufHeader(version, tensor_count, _required_bytes(stream, tensor_count, metadata), metadata)


def _required_bytes(stream: _HeaderStream, tensor_count: int, metadata: Mapping[str, Any]) -> int:
    """Read the list of tensors, and return where the last of them ends."""
    if tensor_count > MAX_TENSORS:
        raise FormatError("header_too_large", f"The header has {tensor_count} tensors; {MAX_TENSORS:,} are allowed.")
    ends = [0]
    for _ in range(tensor_count):
        stream.read_string()
        dimensions = stream.read_scalar("<I")
        if dimensions > MAX_DIMENSIONS:
            raise FormatError("bad_header", f"A tensor has {dimensions} dimensions; {MAX_DIMENSIONS} are allowed.")
        elements = math.prod(stream.read_scalar("<Q") for _ in range(dimensions))
        block_elements, block_bytes = BLOCK_SIZES.get(stream.read_scalar("<I"), (1, 0))
        ends.append(stream.read_scalar("<Q") + elements // block_elements * block_bytes)
    alignment = metadata.get(ALIGNMENT_KEY)
    alignment = alignment if type(alignment) is int and alignment > 0 else DEFAULT_ALIGNMENT
    # The magic bytes were read before the stream.
    header_bytes = len(MAGIC) + stream.position
    return header_bytes if tensor_count == 0 else -(-header_bytes // alignment) * alignment + max(ends)


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
