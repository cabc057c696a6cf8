"""Reads and validates the header of safetensors files.

Every rule of the reference implementation is checked, because loaders reject a file that breaks one. Source: the format
and its reference implementation.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.format_error import FormatError
from schemas.untrusted_json import JsonReader

PREFIX_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
# More than programs write; multiplying a million large numbers would take hours.
MAX_DIMENSIONS = 64
METADATA_KEY = "__metadata__"
JSON_READER = JsonReader("The header", unique_keys=True, reject_nan=True)
# Bits per element, by the format's names.
DTYPE_BITS: Mapping[str, int] = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor: element type, shape, and the byte range of its data, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """A validated header. ``size_bytes`` includes the length prefix, so tensor data begins at that offset.

    ``metadata`` has the strings of the file's metadata; ``has_other_values`` says that there are values of other types,
    for which loaders refuse the file.
    """

    size_bytes: int
    tensors: Mapping[str, Tensor] = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)
    has_other_values: bool = False

    @property
    def parameter_count(self) -> int:
        """The number of elements of all tensors."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())

    @property
    def dtype(self) -> str | None:
        """The element type that takes most bytes; None without tensors."""
        sizes: dict[str, int] = {}
        for tensor in self.tensors.values():
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.end - tensor.begin
        return max(sizes, key=lambda name: sizes[name], default=None)


def parse_header_length(prefix: bytes, file_bytes: int) -> int:
    """Return the length of the header that follows the first eight bytes.

    Raises:
        FormatError: too few bytes, or an impossible length.
    """
    if len(prefix) < PREFIX_BYTES:
        raise FormatError("too_short", f"The file has {file_bytes} bytes; even an empty model has more.")
    length = int.from_bytes(prefix[:PREFIX_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise FormatError("header_too_large", f"The header declares {length} bytes; {MAX_HEADER_BYTES:,} are allowed.")
    if PREFIX_BYTES + length > file_bytes:
        raise FormatError(
            "truncated", f"The header declares {length} bytes, but the file is shorter: an incomplete download?"
        )
    return length


def parse_header(raw: bytes, file_bytes: int) -> SafetensorsHeader:
    """Parse and validate the header, without its length prefix, of a file of ``file_bytes`` bytes.

    Raises:
        FormatError: the header breaks a rule; the code says which.
    """
    if not raw.startswith(b"{"):
        raise FormatError("no_header", "The header does not begin with '{': this is not a safetensors file.")
    try:
        entries: dict[str, Any] = JSON_READER.parse(raw.decode())
    except UnicodeDecodeError as error:
        raise FormatError("not_utf8", f"The header is not UTF-8 (byte {error.start}).") from error
    except FormatError as error:
        # Reports have one code for both.
        raise FormatError("not_json" if error.code == "too_deep" else error.code, str(error)) from error
    # In this format, null means no metadata.
    listed = entries.pop(METADATA_KEY, None)
    items = listed.items() if isinstance(listed, dict) else ()
    metadata = {name: value for name, value in items if isinstance(value, str)}
    has_other_values = len(metadata) < len(items) or not isinstance(listed, dict | None)
    tensors = {name: _parse_tensor(name, entry) for name, entry in entries.items()}
    _check_layout(tensors, file_bytes - PREFIX_BYTES - len(raw))
    return SafetensorsHeader(PREFIX_BYTES + len(raw), tensors, metadata, has_other_values)


def _parse_tensor(name: str, entry: Any) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [begin, end]} if len(entry) == 3:
            if dtype not in DTYPE_BITS:
                raise FormatError("unknown_dtype", f"{_quote(name)} has the unknown type {_quote(dtype)}.")
            if not _are_counts([*shape, begin, end]):
                raise FormatError("bad_tensor", f"{_quote(name)}: shape and offsets must be integers from 0 on.")
            if len(shape) > MAX_DIMENSIONS:
                raise FormatError(
                    "bad_tensor", f"{_quote(name)} has {len(shape)} dimensions; {MAX_DIMENSIONS} are allowed."
                )
            return Tensor(dtype, tuple(shape), begin, end)
        case _:
            raise FormatError("bad_tensor", f"{_quote(name)} must have exactly dtype, shape and data_offsets.")


def _are_counts(numbers: Iterable[Any]) -> bool:
    return all(type(number) is int and 0 <= number < 2**63 for number in numbers)


def _check_layout(tensors: Mapping[str, Tensor], data_bytes: int) -> None:
    """Check that the tensors are contiguous and fill the file exactly."""
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != position or tensor.end < tensor.begin:
            raise FormatError("bad_offsets", f"{_quote(name)} begins at {tensor.begin}; expected {position}.")
        bits = math.prod(tensor.shape) * DTYPE_BITS[tensor.dtype]
        if bits % 8 or bits // 8 != tensor.end - tensor.begin:
            raise FormatError("bad_size", f"The size of {_quote(name)} does not match its shape and type.")
        position = tensor.end
    if position > data_bytes:
        raise FormatError("truncated", f"{position - data_bytes} bytes are missing at the end: an incomplete download?")
    if position < data_bytes:
        raise FormatError("too_long", f"{data_bytes - position} bytes at the end belong to no tensor.")


def _quote(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:60] + "…")
