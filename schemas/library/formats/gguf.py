"""The GGUF format: its header's key-value pairs, as far as they are of use to people. Pure but for the stream.

Source: the format's description (ggml-org/ggml, docs/gguf.md).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from schemas.library.formats.safetensors import FormatError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_PAIRS = 10_000
MAX_STRING_BYTES = 1_000_000
MAX_ARRAY_ELEMENTS = 10_000_000
# Large vocabularies have ten.
MAX_HEADER_BYTES = 32 * 1024 * 1024
STRING, ARRAY = 8, 9
LENGTH_BYTES = 8
# By the format's numbers: how an element is unpacked.
SCALARS: Mapping[int, str] = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """``metadata`` has strings and numbers; of lists it has the length only."""

    version: int
    tensor_count: int
    metadata: Mapping[str, Any] = field(repr=False)


@dataclass(slots=True)
class _Source:
    """The file's beginning: a sparse file can say that it has more entries than anybody can count."""

    stream: BinaryIO
    left_bytes: int = MAX_HEADER_BYTES

    def read(self, count: int) -> bytes:
        """The next bytes; raises FormatError where a header has too many."""
        self.left_bytes -= count
        if self.left_bytes < 0:
            raise FormatError("header_too_large", f"The header has more than {MAX_HEADER_BYTES} bytes.")
        return self.stream.read(count)


def read_gguf_header(file: BinaryIO) -> GgufHeader:
    """The header of a file that is open at its beginning.

    Raises:
        FormatError: it is none, or breaks off, or does not end.
    """
    stream = _Source(file)
    if stream.read(4) != MAGIC:
        raise FormatError("no_header", "The file does not begin with GGUF.")
    version = _scalar(stream, "<I")
    if version not in VERSIONS:
        raise FormatError("unknown_version", f"GGUF version {version} is not known here.")
    tensors, pairs = _scalar(stream, "<Q"), _scalar(stream, "<Q")
    if pairs > MAX_PAIRS:
        raise FormatError("header_too_large", f"The header says that it has {pairs} entries.")
    metadata = {}
    for _ in range(pairs):
        key = _string(stream)
        metadata[key] = _value(stream, _scalar(stream, "<I"))
    return GgufHeader(version, tensors, metadata)


def _value(stream: _Source, kind: int) -> Any:
    if kind in SCALARS:
        return _scalar(stream, SCALARS[kind])
    if kind == STRING:
        return _string(stream)
    if kind == ARRAY:
        return _skip_array(stream)
    raise FormatError("bad_header", f"The header has an entry of type {kind}, which nobody knows.")


def _skip_array(stream: _Source) -> int:
    kind, count = _scalar(stream, "<I"), _scalar(stream, "<Q")
    if count > MAX_ARRAY_ELEMENTS:
        raise FormatError("header_too_large", f"The header has a list of {count} elements.")
    if kind in SCALARS:
        _exactly(stream, struct.calcsize(SCALARS[kind]) * count)
    elif kind == STRING:
        if count * LENGTH_BYTES > stream.left_bytes:
            raise FormatError("header_too_large", f"The header has a list of {count} texts.")
        for _ in range(count):
            _string(stream)
    else:
        raise FormatError("bad_header", f"The header has a list of type {kind}, which nobody uses.")
    return int(count)


def _string(stream: _Source) -> str:
    length = _scalar(stream, "<Q")
    if length > MAX_STRING_BYTES:
        raise FormatError("header_too_large", f"The header has a text of {length} bytes.")
    return _exactly(stream, length).decode(errors="replace")


def _scalar(stream: _Source, form: str) -> Any:
    return struct.unpack(form, _exactly(stream, struct.calcsize(form)))[0]


def _exactly(stream: _Source, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise FormatError("truncated", "The file ends within its header: a download that broke off?")
    return data
