"""Headers of model files: the good ones as the reference implementation reads them, the bad ones with the reason."""

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
    """The header of a file with so many bytes of tensors."""
    prefix = len(raw).to_bytes(PREFIX_BYTES, "little")
    size = PREFIX_BYTES + len(raw) + data_bytes
    assert parse_header_length(prefix, size) == len(raw)
    return parse_header(raw, size)


def test_a_header_is_read() -> None:
    """Tensors, metadata, how many numbers, of which type."""
    entries = ONE | {"bias": {"dtype": "F32", "shape": [], "data_offsets": [12, 16]}, "__metadata__": {"a": "ä"}}
    header = read(json.dumps(entries, ensure_ascii=False).encode() + b"   ", 16)
    assert (header.parameter_count, header.dtype, header.metadata) == (7, "F16", {"a": "ä"})
    assert header.tensors["weight"].shape == (2, 3)


def test_an_empty_model_is_one() -> None:
    """As the format has it."""
    assert read(b"{}", 0).dtype is None


def broken(**changes: Any) -> bytes:
    """The one tensor, with something else about it."""
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
        (b'{"__metadata__": {"a": 1}}', "bad_metadata"),
        (b'{"__metadata__": []}', "bad_metadata"),
        (b'{"a": 7}', "bad_tensor"),
        (broken(shape=[-2, -3]), "bad_tensor"),
        (broken(shape=[2.0, 3]), "bad_tensor"),
        (broken(shape=[True, 6]), "bad_tensor"),
        (broken(shape=[2**64]), "bad_tensor"),
        (broken(data_offsets=[0]), "bad_tensor"),
        (broken(data_offsets="012"), "bad_tensor"),
        (broken(more=1), "bad_tensor"),
        (broken(dtype="F17"), "unknown_dtype"),
        (broken(data_offsets=[1, 13]), "bad_offsets"),
        (broken(data_offsets=[0, 11]), "bad_size"),
        (broken(shape=[2**62, 2**62]), "bad_size"),
        (json.dumps(ONE | {"bias": ONE["weight"]}).encode(), "bad_offsets"),
    ],
)
def test_a_rule_that_is_broken_is_named(raw: bytes, code: str) -> None:
    """Never a crash, whatever the header holds."""
    with pytest.raises(FormatError) as error:
        read(raw, 12)
    assert error.value.code == code
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(("data_bytes", "code"), [(11, "truncated"), (0, "truncated"), (13, "too_long")])
def test_a_file_of_the_wrong_length_is_told(data_bytes: int, code: str) -> None:
    """A download that broke off is the most common of all faults."""
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
def test_a_length_that_cannot_be_is_told(prefix: bytes, size: int, code: str) -> None:
    """Before anything of it is read."""
    with pytest.raises(FormatError) as error:
        parse_header_length(prefix, size)
    assert error.value.code == code


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(raw: bytes) -> None:
    """They are a header, or a FormatError."""
    with contextlib.suppress(FormatError):
        assert parse_header(b"{" + raw, 500).size_bytes > PREFIX_BYTES
