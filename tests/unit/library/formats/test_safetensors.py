"""Safetensors headers: valid ones, and the error code of each broken rule."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.library.formats.safetensors import (
    PREFIX_BYTES,
    FormatError,
    SafetensorsHeader,
    parse_header,
    parse_header_length,
)

ONE = {"weight": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}}


def read(raw: bytes, data_bytes: int) -> SafetensorsHeader:
    """Parse the header of a file with this many bytes of tensor data."""
    prefix = len(raw).to_bytes(PREFIX_BYTES, "little")
    size = PREFIX_BYTES + len(raw) + data_bytes
    assert parse_header_length(prefix, size) == len(raw)
    return parse_header(raw, size)


def test_valid_headers_are_parsed() -> None:
    """The result has tensors, metadata, parameter count and dtype."""
    entries = ONE | {"bias": {"dtype": "F32", "shape": [], "data_offsets": [12, 16]}, "__metadata__": {"a": "ä"}}
    header = read(json.dumps(entries, ensure_ascii=False).encode() + b"   ", 16)
    assert (header.parameter_count, header.dtype, header.metadata) == (7, "F16", {"a": "ä"})
    assert header.tensors["weight"].shape == (2, 3)


def test_a_model_without_tensors_is_valid() -> None:
    """The format allows it."""
    assert read(b"{}", 0).dtype is None


def header_with(**changes: Any) -> bytes:
    """Return a header whose tensor has these changes."""
    return json.dumps({"weight": ONE["weight"] | changes}).encode()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"<html>", "no_header"),
        (b" {}", "no_header"),
        (b'{"a": "\xff"}', "not_utf8"),
        (b'{"a": ', "not_json"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a":' * 100_000, "not_json"),
        (b'{"a": {"dtype": "U8", "shape": [9' + b"9" * 5000 + b'], "data_offsets": [0, 1]}}', "not_json"),
        (b'{"a": 1, "a": 2}', "double_key"),
        (b'{"a": {"dtype": "U8", "dtype": "F4", "shape": [], "data_offsets": [0, 1]}}', "double_key"),
        (b'{"a": 7}', "bad_tensor"),
        (header_with(shape=[-2, -3]), "bad_tensor"),
        (header_with(shape=[2.0, 3]), "bad_tensor"),
        (header_with(shape=[True, 6]), "bad_tensor"),
        (header_with(shape=[2**64]), "bad_tensor"),
        (header_with(data_offsets=[0]), "bad_tensor"),
        (header_with(data_offsets="012"), "bad_tensor"),
        (header_with(more=1), "bad_tensor"),
        (header_with(dtype="F17"), "unknown_dtype"),
        (header_with(data_offsets=[1, 13]), "bad_offsets"),
        (header_with(data_offsets=[0, 11]), "bad_size"),
        (header_with(shape=[2**62, 2**62]), "bad_size"),
        (json.dumps(ONE | {"bias": ONE["weight"]}).encode(), "bad_offsets"),
    ],
)
def test_broken_rules_have_a_code(raw: bytes, code: str) -> None:
    """The header may contain anything."""
    with pytest.raises(FormatError) as error:
        read(raw, 12)
    assert error.value.code == code
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(("data_bytes", "code"), [(11, "truncated"), (0, "truncated"), (13, "too_long")])
def test_files_of_the_wrong_length_are_rejected(data_bytes: int, code: str) -> None:
    """Incomplete downloads are the most common problem."""
    with pytest.raises(FormatError) as error:
        read(json.dumps(ONE).encode(), data_bytes)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("prefix", "size", "code"),
    [
        (b"", 0, "too_short"),
        (b"1234567", 7, "too_short"),
        ((100_000_001).to_bytes(8, "little"), 10**9, "header_too_large"),
        (b"\xff" * 8, 10**9, "header_too_large"),
        ((100).to_bytes(8, "little"), 107, "truncated"),
    ],
)
def test_impossible_header_lengths_are_rejected(prefix: bytes, size: int, code: str) -> None:
    """They are rejected before the header is read."""
    with pytest.raises(FormatError) as error:
        parse_header_length(prefix, size)
    assert error.value.code == code


@given(st.binary(max_size=200))
def test_any_bytes_yield_a_header_or_a_format_error(raw: bytes) -> None:
    """No other exception is raised."""
    with contextlib.suppress(FormatError):
        assert parse_header(b"{" + raw, 500).size_bytes > PREFIX_BYTES


@pytest.mark.parametrize(
    ("metadata", "strings", "has_other_values"),
    [
        ('{"a": 0, "b": "x"}', {"b": "x"}, True),
        ('{"a": {"c": "d"}, "b": "x"}', {"b": "x"}, True),
        ('{"a": null, "b": "x"}', {"b": "x"}, True),
        ("[]", {}, True),
        ("7", {}, True),
        ("null", {}, False),
        ("{}", {}, False),
    ],
)
def test_metadata_that_are_no_strings_cost_nothing_else(
    metadata: str, strings: dict[str, str], has_other_values: bool
) -> None:
    """The strings and the tensors are read, and it is said that loaders refuse the file."""
    raw = f'{{"__metadata__": {metadata}, "weight": {json.dumps(ONE["weight"])}}}'.encode()
    header = read(raw, 12)
    assert (header.metadata, header.has_other_values) == (strings, has_other_values)
    assert (header.dtype, header.parameter_count) == ("F16", 6)
