"""The header of GGUF files."""

import io
import struct

import pytest

from schemas.format_error import FormatError
from schemas.library.formats.gguf import find_gguf_type, read_gguf_header
from tests.support.model_files import build_gguf


def test_the_header_and_the_size_of_the_tensors_are_read() -> None:
    """Blocks of quantized types are counted whole; data begins at a multiple of the alignment."""
    data = build_gguf({"general.architecture": "flux"}, {"a": (0, (3, 5)), "b": (12, (256, 2))})
    header = read_gguf_header(io.BytesIO(data))
    assert (header.tensor_count, header.metadata, header.size_bytes) == (2, {"general.architecture": "flux"}, len(data))
    empty = build_gguf({}, {})
    assert read_gguf_header(io.BytesIO(empty)).size_bytes == len(empty)


def test_a_tensor_of_an_unknown_type_counts_as_empty() -> None:
    """A new type does not make a whole file an incomplete one."""
    data = build_gguf({}, {"a": (0, (4,)), "new": (999, (4,))})
    assert read_gguf_header(io.BytesIO(data)).size_bytes <= len(data)


@pytest.mark.parametrize("cut", [5, 20, 40, 60, 80])
def test_a_header_that_is_cut_is_truncated(cut: int) -> None:
    """Wherever it ends, also within the list of tensors."""
    data = build_gguf({"general.name": "x"}, {"tensor": (0, (4,))})
    with pytest.raises(FormatError) as caught:
        read_gguf_header(io.BytesIO(data[:cut]))
    assert caught.value.code == "truncated"


@pytest.mark.parametrize(
    ("tensors", "dimensions", "code"), [(2**40, 1, "header_too_large"), (1, 2**31, "bad_header"), (1, 9, "bad_header")]
)
def test_impossible_numbers_are_refused(tensors: int, dimensions: int, code: str) -> None:
    """They would take hours to read."""
    data = b"GGUF" + struct.pack("<IQQ", 3, tensors, 0) + struct.pack("<Q", 1) + b"a" + struct.pack("<I", dimensions)
    with pytest.raises(FormatError) as caught:
        read_gguf_header(io.BytesIO(data + bytes(100)))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("architecture", "type_"),
    [
        ("flux", "Checkpoint"),
        ("sd3", "Checkpoint"),
        ("wan", "Checkpoint"),
        ("qwen_image", "Checkpoint"),
        ("t5encoder", "Text Encoder"),
        ("qwen2vl", "Text Encoder"),
        ("gemma3", "Text Encoder"),
        ("unheard-of", None),
        ("", None),
    ],
)
def test_the_architecture_determines_the_type(architecture: str, type_: str | None) -> None:
    """Of language models, that of text encoders."""
    assert find_gguf_type(architecture) == type_
