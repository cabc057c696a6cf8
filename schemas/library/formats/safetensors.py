"""The safetensors format: its header, checked to the last rule, since a file that breaks one loads nowhere. Pure.

Source: the format and its reference implementation.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PREFIX_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
# More than programs make; to multiply a million large numbers takes hours.
MAX_DIMENSIONS = 64
METADATA_KEY = "__metadata__"
# Bits of an element, by the format's names.
DTYPE_BITS: Mapping[str, int] = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


class FormatError(ValueError):
    """The file is not what its name says; ``code`` is stable, the message is a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        """``code`` is one word of the report."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: the type and shape of its elements, and where its bytes are, counted from the header's end."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """What a file says of itself. ``size_bytes`` counts the prefix and the header; tensors begin there."""

    size_bytes: int
    tensors: Mapping[str, Tensor] = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)

    @property
    def parameter_count(self) -> int:
        """How many numbers the model has."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def dtype(self) -> str | None:
        """The type of most of its bytes."""
        sizes: dict[str, int] = {}
        for tensor in self.tensors.values():
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.end - tensor.begin
        return max(sizes, key=lambda name: sizes[name], default=None)


def parse_header_length(prefix: bytes, file_bytes: int) -> int:
    """How many bytes of header follow the first eight.

    Raises:
        FormatError: too few bytes, or a length that cannot be.
    """
    if len(prefix) < PREFIX_BYTES:
        raise FormatError("too_short", f"The file has {file_bytes} bytes; even an empty one has more.")
    length = int.from_bytes(prefix[:PREFIX_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise FormatError("header_too_large", f"The header says that it has {length} bytes; 100,000,000 are allowed.")
    if PREFIX_BYTES + length > file_bytes:
        raise FormatError("truncated", f"The header should have {length} bytes, but the file ends before: a download?")
    return length


def parse_header(raw: bytes, file_bytes: int) -> SafetensorsHeader:
    """The header, from its ``raw`` bytes, of a file of so many bytes.

    Raises:
        FormatError: a rule is broken; the code says which.
    """
    entries = _parse(raw)
    metadata = _metadata(entries.pop(METADATA_KEY, {}))
    tensors = {name: _tensor(name, about) for name, about in entries.items()}
    _check_layout(tensors, file_bytes - PREFIX_BYTES - len(raw))
    return SafetensorsHeader(PREFIX_BYTES + len(raw), tensors, metadata)


def _parse(raw: bytes) -> dict[str, Any]:
    if not raw.startswith(b"{"):
        raise FormatError("no_header", "The header does not begin with '{': this is no safetensors file.")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise FormatError("not_utf8", f"The header is not UTF-8 (byte {error.start}).") from error
    try:
        entries = json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError("not_json", f"The header is not JSON: {str(error)[:100]}") from error
    return dict(entries)


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise FormatError("double_key", "The header names something twice.")
    return found


def _no_constant(word: str) -> Any:
    raise FormatError("not_json", f"The header is not JSON: it has {word}.")


def _metadata(found: Any) -> Mapping[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise FormatError("bad_metadata", f"{METADATA_KEY} must have strings and nothing else.")
    return found


def _tensor(name: str, about: Any) -> Tensor:
    match about:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [begin, end]} if len(about) == 3:
            if dtype not in DTYPE_BITS:
                raise FormatError("unknown_dtype", f"{_short(name)} has the type {_short(dtype)}, which nobody knows.")
            if not _are_counts([*shape, begin, end]):
                raise FormatError("bad_tensor", f"{_short(name)}: shape and offsets must be whole numbers from 0 on.")
            if len(shape) > MAX_DIMENSIONS:
                raise FormatError("bad_tensor", f"{_short(name)} has {len(shape)} dimensions; no tensor has so many.")
            return Tensor(dtype, tuple(shape), begin, end)
        case _:
            raise FormatError("bad_tensor", f"{_short(name)} must have dtype, shape and data_offsets.")


def _are_counts(numbers: Iterable[Any]) -> bool:
    return all(type(number) is int and 0 <= number < 2**63 for number in numbers)


def _check_layout(tensors: Mapping[str, Tensor], data_bytes: int) -> None:
    """Tensors follow one another without holes and fill the file."""
    place = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != place or tensor.end < tensor.begin:
            raise FormatError("bad_offsets", f"{_short(name)} begins at {tensor.begin}, where {place} was expected.")
        bits = math.prod(tensor.shape) * DTYPE_BITS[tensor.dtype]
        if bits % 8 or bits // 8 != tensor.end - tensor.begin:
            raise FormatError("bad_size", f"{_short(name)} has another size than its shape and type say.")
        place = tensor.end
    if place > data_bytes:
        raise FormatError("truncated", f"{place - data_bytes} bytes are missing at the end: a download that broke off?")
    if place < data_bytes:
        raise FormatError("too_long", f"{data_bytes - place} bytes at the end belong to nothing.")


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:60] + "…")
