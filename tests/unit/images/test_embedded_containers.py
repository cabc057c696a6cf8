"""Where files carry text: every place of every format, in every encoding that programs use."""

import gzip
import io
import json
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from schemas.images.containers.text_chunks import read_text_chunks
from schemas.images.embedded import read_generation_params, read_stealth_params

PROMPT = "a cat, Ünïcödé 猫"
INFOTEXT = f"{PROMPT}\nNegative prompt: dog\nSteps: 9, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x32"
GRAPH = {"1": {"class_type": "KSampler", "inputs": {"steps": 9, "seed": 5, "positive": ["2", 0], "sampler_name": "x"}}}
GRAPH["2"] = {"class_type": "CLIPTextEncode", "inputs": {"text": PROMPT}}
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286


def saved(form: str, **options: Any) -> bytes:
    """A small picture in a format."""
    out = io.BytesIO()
    Image.new("RGB", (4, 4), "teal").save(out, form, **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes) -> bytes:
    """A PNG with such chunks, before its end and after its image."""
    whole = saved("PNG")
    return whole[:-12] + b"".join(chunks) + whole[-12:]


def exif(user_comment: bytes | None = None, *, little: bool = False, **plain: Any) -> bytes:
    """An EXIF block as Pillow writes it; ``plain`` has by hexadecimal numbers what else is in the first directory."""
    block = Image.Exif()
    block.endian = "<" if little else ">"
    if user_comment is not None:
        block.get_ifd(EXIF_IFD)[USER_COMMENT] = user_comment
    for tag, value in plain.items():
        block[int(tag.removeprefix("x"), 16)] = value
    return block.tobytes()


def itxt(text: str, *, packed: bool) -> bytes:
    """The body of an iTXt chunk, with a language and a translated keyword."""
    body = zlib.compress(text.encode()) if packed else text.encode()
    return b"parameters\0" + bytes([packed, 0]) + b"en\0Parameter\0" + body


def info(**texts: str) -> PngImagePlugin.PngInfo:
    """Texts for Pillow to write."""
    made = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        made.add_text(keyword, text)
    return made


UTF16_BE, UTF16_LE = INFOTEXT.encode("utf-16-be"), INFOTEXT.encode("utf-16-le")
COMMENTS = {
    "big-endian": b"UNICODE\0" + UTF16_BE,
    "little-endian": b"UNICODE\0" + UTF16_LE,
    "big-endian-mark": b"UNICODE\0\xfe\xff" + UTF16_BE,
    "little-endian-mark": b"UNICODE\0\xff\xfe" + UTF16_LE,
    "utf8-called-unicode": b"UNICODE\0" + INFOTEXT.encode(),
    "ascii": b"ASCII\0\0\0" + INFOTEXT.encode(),
    "utf8": b"UTF8\0\0\0\0" + INFOTEXT.encode(),
    "undefined": bytes(8) + INFOTEXT.encode(),
    "no-header": INFOTEXT.encode(),
}
FILES = {
    "png-tEXt-utf8": png(chunk(b"tEXt", b"parameters\0" + INFOTEXT.encode())),
    "png-zTXt": png(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(INFOTEXT.encode()))),
    "png-iTXt": png(chunk(b"iTXt", itxt(INFOTEXT, packed=False))),
    "png-iTXt-packed": png(chunk(b"iTXt", itxt(INFOTEXT, packed=True))),
    "png-pillow": saved("PNG", pnginfo=info(parameters=INFOTEXT)),
    "png-eXIf": saved("PNG", exif=exif(COMMENTS["big-endian"])),
    "png-UserComment": saved("PNG", pnginfo=info(UserComment=INFOTEXT)),
    "jpeg-COM": saved("JPEG", comment=INFOTEXT.encode()),
    "jpeg-description": saved("JPEG", exif=exif(x010E=INFOTEXT.encode())),
    "jpeg-xp-comment": saved("JPEG", exif=exif(x9C9C=UTF16_LE + b"\0\0")),
    "jpeg-comment-in-first-directory": saved("JPEG", exif=exif(x9286=INFOTEXT.encode())),
    "webp": saved("WEBP", exif=exif(COMMENTS["big-endian"])),
    "gif": saved("GIF", comment=INFOTEXT.encode()),
}
FILES |= {f"jpeg-{name}": saved("JPEG", exif=exif(comment)) for name, comment in COMMENTS.items()}
FILES |= {f"jpeg-ii-{name}": saved("JPEG", exif=exif(comment, little=True)) for name, comment in COMMENTS.items()}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_every_place_is_read(data: bytes) -> None:
    """One text, wherever it stands and however it is encoded."""
    found = read_generation_params(data)
    assert found
    assert (found.prompt, found.negative_prompt, found.steps, found.seed) == (PROMPT, "dog", 9, 5)


def test_latin_1_is_read_as_png_has_it() -> None:
    """Where the bytes are not UTF-8."""
    found = read_generation_params(
        png(chunk(b"tEXt", "parameters\0Köln\nSteps: 9, Seed: 5, Size: 8x8".encode("latin-1")))
    )
    assert found
    assert (found.prompt, found.height) == ("Köln", 8)


@pytest.mark.parametrize(
    "data",
    [
        saved("PNG", pnginfo=info(prompt=json.dumps(GRAPH), workflow='{"nodes": []}')),
        saved("WEBP", exif=exif(x0110=f"prompt:{json.dumps(GRAPH)}", x010F='workflow:{"nodes": []}')),
        saved("WEBP", exif=exif(x010F=f"Prompt: {json.dumps(GRAPH)}", x010E='Workflow:{"nodes": []}')),
        saved("JPEG", exif=exif(json.dumps({"prompt": GRAPH, "workflow": {"nodes": []}}).encode())),
    ],
    ids=["png", "webp", "webp-other-tags", "jpeg-one-object"],
)
def test_graphs_are_read_from_every_place(data: bytes) -> None:
    """Savers of WebP put them into tags that are for the names of cameras."""
    found = read_generation_params(data)
    assert found
    assert (found.tool, found.prompt, found.steps, found.workflow) == ("ComfyUI", PROMPT, 9, {"nodes": []})


def test_the_graph_itself_is_kept_where_no_other_is() -> None:
    """In the form in which it is run."""
    found = read_generation_params(saved("JPEG", exif=exif(json.dumps(GRAPH).encode())))
    assert found
    assert found.workflow == GRAPH


@pytest.mark.parametrize(
    "data",
    [
        saved("GIF", comment=b"Created with GIMP"),
        saved("JPEG", comment=b"CREATOR: gd-jpeg v1.0"),
        saved("JPEG", exif=exif(b"ASCII\0\0\0Screenshot", x010F="Canon", x0110="EOS 5D")),
        saved("PNG", pnginfo=info(Software="GIMP", Comment="prompt, Steps: 4", Title="{}")),
        saved("JPEG", exif=exif(b'{"a": 1}')),
        b"BM" + bytes(100),
    ],
)
def test_texts_of_others_are_no_parameters(data: bytes) -> None:
    """Cameras and editors write comments too."""
    assert read_generation_params(data) is None


def test_of_two_texts_the_first_stands() -> None:
    """And what the other adds is taken."""
    saver = "cat\nSteps: 9, Sampler: euler, Seed: 5, Version: ComfyUI"
    graph = {"1": {"class_type": "KSampler", "inputs": {"steps": 3, "seed": 5, "cfg": 2.5, "sampler_name": "x"}}}
    found = read_generation_params(saved("PNG", pnginfo=info(parameters=saver, prompt=json.dumps(graph))))
    assert found
    assert (found.tool, found.steps, found.cfg_scale, found.prompt) == ("ComfyUI", 9, 2.5, "cat")
    assert found.workflow == graph


def pixels(text: bytes, mark: bytes, channels: tuple[int, ...], size: tuple[int, int]) -> bytes:
    """RGBA with a text in the lowest bits, written pixel by pixel, column by column."""
    payload = mark + struct.pack(">I", len(text) * 8) + text
    bits = (byte >> place & 1 for byte in payload for place in range(7, -1, -1))
    width, height = size
    rgba = bytearray(bytes((120, 130, 140, 254)) * width * height)
    for index, bit in enumerate(bits):
        pixel, channel = divmod(index, len(channels))
        x, y = divmod(pixel, height)
        rgba[4 * (y * width + x) + channels[channel]] |= bit
    return bytes(rgba)


NOVELAI = json.dumps(
    {"Description": PROMPT, "Software": "NovelAI", "Comment": json.dumps({"steps": 9, "uc": "dog", "seed": 5})}
)


@pytest.mark.parametrize("text", [INFOTEXT, NOVELAI], ids=["a1111", "novelai"])
@pytest.mark.parametrize(("mark", "channels"), [("png", (3,)), ("rgb", (0, 1, 2))], ids=["alpha", "colours"])
@pytest.mark.parametrize("packed", [True, False])
def test_lowest_bits_are_read(text: str, mark: str, channels: tuple[int, ...], packed: bool) -> None:
    """In alpha or in the colours, compressed or not; the last column is not needed whole."""
    body = gzip.compress(text.encode()) if packed else text.encode()
    rgba = pixels(body, f"stealth_{mark}{'comp' if packed else 'info'}".encode(), channels, (61, 37))
    found = read_stealth_params(rgba, 61, 37)
    assert found
    assert (found.prompt, found.negative_prompt, found.steps, found.seed) == (PROMPT, "dog", 9, 5)


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        (gzip.compress(bytes(30_000_000)), b"stealth_pngcomp"),
        (b"no gzip", b"stealth_pngcomp"),
        (b"", b"stealth_pnginfo"),
        (b"hello", b"stealth_pngtext"),
    ],
    ids=["bomb", "damaged", "empty", "other-mark"],
)
def test_hostile_bits_say_nothing(text: bytes, mark: bytes) -> None:
    """And cost no more than a limit."""
    assert read_stealth_params(pixels(text, mark, (3,), (620, 380)), 620, 380) is None


@pytest.mark.parametrize(("width", "height"), [(0, 0), (-1, -1), (3, 1), (1, 1), (2**40, 2**40)])
def test_pixels_of_another_size_say_nothing(width: int, height: int) -> None:
    """Nothing is read beyond the end."""
    assert read_stealth_params(bytes(8), width, height) is None


def test_bombs_in_chunks_are_left_out() -> None:
    """Neither one that unpacks to too much, nor many; what stands beside them is read."""
    bomb = zlib.compress(bytes(30_000_000))
    good = chunk(b"tEXt", b"parameters\0" + INFOTEXT.encode())
    texts = read_text_chunks(png(good, *[chunk(b"zTXt", b"%d\0\0" % number + bomb) for number in range(50)]))
    assert texts.by_keyword == {"parameters": INFOTEXT}
    assert texts.remaining_bytes == 0
    damaged = chunk(b"zTXt", b"a\0\0" + bomb[:200] + b"\xff" * 8)
    twice = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000)))
    assert read_text_chunks(png(*[twice] * 50)).remaining_bytes < 3_000_000
    assert read_generation_params(png(damaged, chunk(b"zTXt", b"b\0\0"), good)) is not None


def test_texts_are_counted_and_measured() -> None:
    """At most a hundred, and none beyond four million bytes."""
    many = [chunk(b"tEXt", b"%d\0x" % number) for number in range(300)]
    assert len(read_text_chunks(png(*many)).by_keyword) == 100
    assert not read_text_chunks(png(chunk(b"tEXt", b"long\0" + b"x" * 4_000_001))).by_keyword
    assert [len(text) for text in read_text_chunks(saved("GIF", comment=b"x" * 5000)).unkeyed] == [5000]


def test_bytes_between_segments_are_passed_over() -> None:
    """JPEG allows any number of them before a marker."""
    whole = saved("JPEG", comment=INFOTEXT.encode())
    assert read_generation_params(whole.replace(b"\xff\xfe", b"\xff" * 1000 + b"\xfe", 1)) is not None
    assert read_generation_params(b"\xff\xd8" + b"\xff" * 1_000_000) is None


def test_directories_that_point_at_themselves_end() -> None:
    """Or nowhere at all."""
    loop = b"MM\0*" + struct.pack(">IHHHII", 8, 1, EXIF_IFD, 4, 1, 8) + bytes(4)
    beyond = b"MM\0*" + struct.pack(">IHHHII", 8, 60_000, USER_COMMENT, 7, 2**31, 2**31)
    for block in (loop, beyond, b"MM\0*\xff\xff\xff\xff", b"MM\0*"):
        assert read_text_chunks(png(chunk(b"eXIf", block))).unkeyed == []
