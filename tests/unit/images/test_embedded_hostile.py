"""Hostile image metadata: nothing raises, results are valid JSON, time is linear in the input."""

import json
import string
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.images.containers import encodings
from schemas.images.containers.exif import read_exif_texts
from schemas.images.containers.text_chunks import read_text_chunks
from schemas.images.embedded import READERS, read_generation_params, read_stealth_params
from schemas.images.embedded.json_texts import find_json_end, parse_json, parse_object
from schemas.images.generation_params import GenerationParams

KEYWORDS = ("parameters", "prompt", "workflow", "Comment", "invokeai_metadata", "sd-metadata", "Dream", "UserComment")
MARKS = (
    "Steps: 9",
    "Negative prompt:",
    "Sampler: x",
    "Seed: 5",
    ",",
    "\n",
    ":",
    '"',
    "{",
    "[",
    "<lora:a:",
    ">",
    "\\",
    "-s ",
)
PNG = b"\x89PNG\r\n\x1a\n"
BEGINNINGS = (PNG, b"\xff\xd8", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"II*\0", b"")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
# Keys that the readers look up, so that they meet every kind of value there.
KNOWN_KEYS = st.sampled_from(
    [
        "class_type", "inputs", "image", "prompt", "positive", "negative", "model", "text", "seed", "steps", "loras",
        "lora_name", "ckpt_name", "latent_image", "width", "sui_image_params", "sui_models", "base_model",
        "guidance_scale", "resolution", "uc", "scale", "sampler", "hash", "name", "vae", "weight",
    ]
)  # fmt: skip
KNOWN_DOCUMENTS = st.recursive(
    JSON | st.sampled_from([["1", 0], ["2", 1], "KSampler", 5, "0.5"]),
    lambda inner: st.dictionaries(KNOWN_KEYS | st.sampled_from(["1", "2"]), inner, max_size=6),
    max_leaves=20,
)


def text_chunk(keyword: str, text: bytes) -> bytes:
    """Return a PNG text chunk without a valid checksum."""
    body = keyword.encode() + b"\0" + text
    return struct.pack(">I", len(body)) + b"tEXt" + body + bytes(4)


def assert_valid(params: GenerationParams | None) -> None:
    """Assert that a result is valid JSON for every reader."""
    assert params is None or json.dumps(params.to_json(), allow_nan=False).encode()


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(BEGINNINGS), st.binary(max_size=300))
def test_any_bytes_are_read(beginning: bytes, rest: bytes) -> None:
    """They follow the signature of every format."""
    assert_valid(read_generation_params(beginning + rest))
    assert_valid(read_generation_params(PNG + struct.pack(">I", len(rest) + 8) + b"eXIf" + b"MM\0*\0\0\0\x08" + rest))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KEYWORDS), st.lists(st.sampled_from(MARKS) | st.text(max_size=8), max_size=30).map("".join))
def test_any_text_is_read(keyword: str, text: str) -> None:
    """It stands under every keyword."""
    assert_valid(read_generation_params(PNG + text_chunk(keyword, text.encode(errors="replace"))))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KEYWORDS), KNOWN_DOCUMENTS)
def test_any_json_is_read(keyword: str, value: Any) -> None:
    """Every value may stand in every place, including texts that are NaN or out of range."""
    assert_valid(read_generation_params(PNG + text_chunk(keyword, json.dumps(value).encode())))


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(KEYWORDS), KNOWN_DOCUMENTS, max_size=4))
def test_any_parsed_value_is_accepted_by_every_reader(texts: dict[str, Any]) -> None:
    """This includes values that no text can encode."""
    for read in READERS:
        assert isinstance(read(texts), GenerationParams | None)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=400), st.integers(-2, 12), st.integers(-2, 12))
def test_any_pixels_are_read(rgba: bytes, width: int, height: int) -> None:
    """Their declared size may be wrong."""
    assert_valid(read_stealth_params(rgba, width, height))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": NaN, "b": [Infinity, -Infinity], "c": 1e999}', {"a": None, "b": [None, None], "c": None}),
        ('{"a": "\\u0000\\ud800x\\udc00 \\ud83d\\ude00 \\\\u0000"}', {"a": "\ufffd\ufffdx\ufffd \U0001f600 \\u0000"}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ('{"a": ' + "1" * 5000 + ', "b": 2}', {"a": "1" * 5000, "b": 2}),
        ('{"a": 18446744073709551615}', {"a": 2**64 - 1}),
        ('{"a":' * 99 + "1" + "}" * 99, ...),
        ('{"a":' * 101 + "1" + "}" * 101, None),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, None),
        ("[" * 150_000, None),
        ("[" + "[]," * 250_000 + "1]", None),
        ('"' + "x" * 4_000_000 + '"', None),
        ("{", None),
        ("", None),
    ],
)
def test_json_is_bounded_and_sanitized(text: str, expected: Any) -> None:
    """Depth, size and numbers are limited; an invalid number costs no other value."""
    params = parse_json(text)
    assert params is not None if expected is ... else params == expected


def test_objects_and_the_end_of_json_are_recognized() -> None:
    """A list is not an object."""
    assert parse_object("[1]") is None
    assert parse_object(' {"a": 1} ') == {"a": 1}
    assert find_json_end('x: {"a": "}"}, y', 3) == 13
    assert find_json_end("[" * 100_000, 0) is None


LONG = 200_000
SLOW = [
    "a" * LONG,
    "ab:" * LONG,
    'ab:"' * LONG,
    'ab:"\\",' * LONG,
    "Steps: 9, " * 90_000,
    "Steps: 9\n" * 90_000,
    "Steps: 9, x, y, z\n" * 50_000,
    "<lora:" * 150_000,
    "a b" * 300_000,
    "a-/" * 300_000,
    "<lora:a" + ":" * LONG,
    "ab:[" * LONG,
    'ab:["' * LONG,
    "Negative prompt:" * 50_000,
    "Steps: 9, Sampler: a, Seed: 5, " + 'Lora hashes: "' + "a," * 40_000 + '"',
    "x," * 40_000 + "\nSteps: 9, Sampler: a, Seed: 5",
]


@pytest.mark.parametrize("text", SLOW, ids=range(len(SLOW)))
def test_time_is_linear_in_the_length_of_a_text(text: str) -> None:
    """No pattern backtracks quadratically."""
    assert_valid(read_generation_params(PNG + text_chunk("parameters", text.encode())))
    assert_valid(read_generation_params(PNG + text_chunk("UserComment", text.encode())))


def graph_chunk(**nodes: dict[str, Any]) -> bytes:
    """Return a chunk with a graph whose nodes have these inputs."""
    params = {name.lstrip("n"): {"class_type": "KSampler", "inputs": inputs} for name, inputs in nodes.items()}
    return PNG + text_chunk("prompt", json.dumps(params).encode())


def test_large_graphs_are_walked_in_linear_time() -> None:
    """Examples are a long chain, a dense graph, and cycles."""
    basic = {"steps": 1, "cfg": 1, "sampler_name": "x"}
    chain = {f"n{i}": basic | {"model": [str(i + 1), 0], "positive": [str(i + 1), 0]} for i in range(2000)}
    assert_valid(read_generation_params(graph_chunk(**chain)))
    dense = {f"n{i}": {f"k{j}": [str(j), 0] for j in range(120)} | {"positive": [str(i), 0]} for i in range(120)}
    assert_valid(read_generation_params(graph_chunk(**dense)))
    wide = {f"n{i}": basic | {"ckpt_name": [str(i), 0], "latent_image": [str(i + 1), 0]} for i in range(6000)}
    assert read_generation_params(graph_chunk(**wide)) is None


def test_markup_stays_text() -> None:
    """It is escaped where it is displayed, and is never a hash."""
    evil = "<script>alert(1)</script>"
    params = read_generation_params(
        PNG
        + text_chunk(
            "parameters", f"{evil}\nSteps: 9, Seed: 5, Sampler: {evil}, Model: {evil}, Model hash: {evil}".encode()
        )
    )
    assert params
    assert (params.prompt, params.sampler, params.resources[0].hash) == (evil, evil, None)
    assert read_generation_params(PNG + text_chunk("parameters", b"a\0b" + string.printable.encode())) is not None


def test_overlong_texts_are_dropped() -> None:
    """No program writes a million characters."""
    packed = zlib.compress(b"x" * 3_000_000)
    body = b"parameters\0\0" + packed
    assert read_generation_params(PNG + struct.pack(">I", len(body)) + b"zTXt" + body) is None


def box(kind: bytes, *contents: bytes) -> bytes:
    """Return a box of an AVIF file."""
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def tiff(*entries: tuple[int, int, int]) -> bytes:
    """Return a directory whose entries are texts: tag, length, and offset from the beginning."""
    listed = b"".join(struct.pack(">HHII", tag, 2, length, offset) for tag, length, offset in entries)
    return b"MM\0*" + struct.pack(">IH", 8, len(entries)) + listed + bytes(4)


DESCRIPTION, MODEL = 0x010E, 0x0110
ITEM = bytes(4) + tiff((DESCRIPTION, 8, 26)) + b"harbour\0"
KINDS = box(b"iinf", bytes(4), b"\0\1", box(b"infe", b"\2\0\0\0", b"\0\1", b"\0\0", b"Exif", b"\0"))
FILE_TYPE = box(b"ftyp", b"avif\0\0\0\0avif")


def avif(*extents: list[tuple[int, int]], before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a file whose first item has several locations; each extent is a length and an offset from the end."""
    head = FILE_TYPE + before
    entries = b"".join(bytes([0, 1, 0, 0]) + struct.pack(">H", len(each)) + bytes(8 * len(each)) for each in extents)
    size = len(head + box(b"meta", bytes(4), KINDS, box(b"iloc", bytes(8), entries)) + after)
    entries = b"".join(
        bytes([0, 1, 0, 0])
        + struct.pack(">H", len(each))
        + b"".join(struct.pack(">II", size - offset, length) for length, offset in each)
        for each in extents
    )
    locations = box(b"iloc", bytes(4), b"\x44\0", struct.pack(">H", len(extents)), entries)
    return head + box(b"meta", bytes(4), KINDS, locations) + after


def test_a_small_avif_cannot_name_the_same_bytes_without_end() -> None:
    """What does not fit is dropped before it is read; an item that fits is read all the same."""
    after = box(b"free", bytes(200_000)) + ITEM
    whole_file = [(10**9, len(after))] * 100
    data = avif(*[whole_file] * 20, [(len(ITEM), len(ITEM))], after=after)
    assert read_text_chunks(avif([(len(ITEM), len(ITEM))], after=ITEM)).unkeyed == ["harbour"]

    tracemalloc.start()
    texts = read_text_chunks(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert texts.unkeyed == ["harbour"]
    assert peak < 2_000_000


def test_extents_without_bytes_are_counted_over_all_boxes() -> None:
    """A file may have many lists of items, each of which takes a few bytes and promises many extents."""
    entries = bytes([0, 2, 0, 0, 0, 100]) * 1000
    endless = box(b"meta", bytes(4), KINDS, box(b"iloc", bytes(4), b"\0\0", struct.pack(">H", 1000), entries))

    assert read_text_chunks(avif([(len(ITEM), len(ITEM))], before=endless, after=ITEM)).unkeyed == []


def test_entries_of_exif_cannot_name_the_same_bytes_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each tag the first entry is read, also if it is blank."""
    read: list[int] = []
    decode = encodings.decode_utf8_or_latin1
    monkeypatch.setattr(encodings, "decode_utf8_or_latin1", lambda data: read.append(len(data)) or decode(data))
    offset = 8 + 2 + 12 * 501 + 4
    block = tiff(*[(DESCRIPTION, 5000, offset)] * 500, (MODEL, 5, offset + 5000)) + b" " * 5000 + b"Leica"

    assert read_exif_texts(block) == ["Leica"]
    assert read == [5000, 5]
