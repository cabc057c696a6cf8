"""Texts in image files: every container of every format, in every encoding in use."""

import gzip
import io
import json
import struct
import zlib
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from PIL import Image, PngImagePlugin

from schemas.images.containers.png_text import add_png_text
from schemas.images.containers.text_chunks import read_text_chunks
from schemas.images.containers.xmp import read_xmp_texts
from schemas.images.embedded import read_generation_params, read_stealth_params

PROMPT = "a cat, Ünïcödé 猫"
INFOTEXT = f"{PROMPT}\nNegative prompt: dog\nSteps: 9, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 64x32"
GRAPH = {"1": {"class_type": "KSampler", "inputs": {"steps": 9, "seed": 5, "positive": ["2", 0], "sampler_name": "x"}}}
GRAPH["2"] = {"class_type": "CLIPTextEncode", "inputs": {"text": PROMPT}}
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286


def save_image(form: str, **options: Any) -> bytes:
    """Return a small image file."""
    out = io.BytesIO()
    Image.new("RGB", (4, 4), "teal").save(out, form, **options)
    return out.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes) -> bytes:
    """Return a PNG with these chunks between its pixels and its end."""
    data = save_image("PNG")
    return data[:-12] + b"".join(chunks) + data[-12:]


def exif_block(user_comment: bytes | None = None, *, little: bool = False, **plain: Any) -> bytes:
    """Return an EXIF block; ``plain`` has tags of the first directory by hexadecimal number."""
    block = Image.Exif()
    block.endian = "<" if little else ">"
    if user_comment is not None:
        block.get_ifd(EXIF_IFD)[USER_COMMENT] = user_comment
    for tag, value in plain.items():
        block[int(tag.removeprefix("x"), 16)] = value
    return block.tobytes()


def itxt_body(text: str, *, packed: bool) -> bytes:
    """Return the body of an iTXt chunk with a language and a translated keyword."""
    body = zlib.compress(text.encode()) if packed else text.encode()
    return b"parameters\0" + bytes([packed, 0]) + b"en\0Parameter\0" + body


def png_texts(**texts: str) -> PngImagePlugin.PngInfo:
    """Return texts for Pillow to write."""
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    return info


def xmp_packet(**properties: str) -> bytes:
    """Return an XMP packet with these properties as lists of alternatives, as cameras and generators write them."""
    namespaces = {"UserComment": "exif", "ImageDescription": "tiff", "description": "dc", "parameters": "sd"}
    elements = "".join(
        f'<{namespaces[name]}:{name}><rdf:Alt><rdf:li xml:lang="x-default">{escape(text)}</rdf:li></rdf:Alt>'
        f"</{namespaces[name]}:{name}>"
        for name, text in properties.items()
    )
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:sd="http://example.org/">'
        f'{elements}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def gif_with_xmp(packet: bytes) -> bytes:
    """Return a GIF with the packet and what lets a reader of sub-blocks skip it."""
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    return save_image("GIF")[:-1] + b"!\xff\x0bXMP DataXMP" + packet + trailer + b";"


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
    "png-tEXt-utf8": png_with(png_chunk(b"tEXt", b"parameters\0" + INFOTEXT.encode())),
    "png-zTXt": png_with(png_chunk(b"zTXt", b"parameters\0\0" + zlib.compress(INFOTEXT.encode()))),
    "png-iTXt": png_with(png_chunk(b"iTXt", itxt_body(INFOTEXT, packed=False))),
    "png-iTXt-packed": png_with(png_chunk(b"iTXt", itxt_body(INFOTEXT, packed=True))),
    "png-pillow": save_image("PNG", pnginfo=png_texts(parameters=INFOTEXT)),
    "png-eXIf": save_image("PNG", exif=exif_block(COMMENTS["big-endian"])),
    "png-UserComment": save_image("PNG", pnginfo=png_texts(UserComment=INFOTEXT)),
    "jpeg-COM": save_image("JPEG", comment=INFOTEXT.encode()),
    "jpeg-description": save_image("JPEG", exif=exif_block(x010E=INFOTEXT.encode())),
    "jpeg-xp-comment": save_image("JPEG", exif=exif_block(x9C9C=UTF16_LE + b"\0\0")),
    "jpeg-comment-in-first-directory": save_image("JPEG", exif=exif_block(x9286=INFOTEXT.encode())),
    "webp": save_image("WEBP", exif=exif_block(COMMENTS["big-endian"])),
    "gif": save_image("GIF", comment=INFOTEXT.encode()),
}
FILES |= {
    "avif-exif": save_image("AVIF", exif=exif_block(COMMENTS["big-endian"])),
    "avif-xmp": save_image("AVIF", xmp=xmp_packet(UserComment=INFOTEXT)),
    "png-xmp": png_with(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_packet(UserComment=INFOTEXT))),
    "jpeg-xmp": save_image("JPEG", xmp=xmp_packet(description=INFOTEXT)),
    "jpeg-xmp-own": save_image("JPEG", xmp=xmp_packet(parameters=INFOTEXT)),
    "webp-xmp": save_image("WEBP", xmp=xmp_packet(ImageDescription=INFOTEXT)),
    "gif-xmp": gif_with_xmp(xmp_packet(UserComment=INFOTEXT)),
    "xmp-attribute": save_image(
        "WEBP",
        xmp=b"<x:xmpmeta xmlns:x='a:'><d xmlns:d='b:' d:description=%s/></x:xmpmeta>"
        % quoteattr(INFOTEXT, {"\n": "&#10;"}).encode(),
    ),
}
FILES |= {f"jpeg-{name}": save_image("JPEG", exif=exif_block(comment)) for name, comment in COMMENTS.items()}
FILES |= {
    f"jpeg-ii-{name}": save_image("JPEG", exif=exif_block(comment, little=True)) for name, comment in COMMENTS.items()
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())
def test_every_container_and_encoding_is_read(data: bytes) -> None:
    """The same text is found in all of them."""
    params = read_generation_params(data)
    assert params
    assert (params.prompt, params.negative_prompt, params.steps, params.seed) == (PROMPT, "dog", 9, 5)


def test_png_text_that_is_not_utf8_is_latin1() -> None:
    """The PNG standard demands Latin-1."""
    params = read_generation_params(
        png_with(png_chunk(b"tEXt", "parameters\0Köln\nSteps: 9, Seed: 5, Size: 8x8".encode("latin-1")))
    )
    assert params
    assert (params.prompt, params.height) == ("Köln", 8)


@pytest.mark.parametrize(
    "data",
    [
        save_image("PNG", pnginfo=png_texts(prompt=json.dumps(GRAPH), workflow='{"nodes": []}')),
        save_image("WEBP", exif=exif_block(x0110=f"prompt:{json.dumps(GRAPH)}", x010F='workflow:{"nodes": []}')),
        save_image("WEBP", exif=exif_block(x010F=f"Prompt: {json.dumps(GRAPH)}", x010E='Workflow:{"nodes": []}')),
        save_image("JPEG", exif=exif_block(json.dumps({"prompt": GRAPH, "workflow": {"nodes": []}}).encode())),
    ],
    ids=["png", "webp", "webp-other-tags", "jpeg-one-object"],
)
def test_graphs_are_read_from_every_container(data: bytes) -> None:
    """WebP savers put them into EXIF tags meant for camera names."""
    params = read_generation_params(data)
    assert params
    assert (params.tool, params.prompt, params.steps, params.workflow) == ("ComfyUI", PROMPT, 9, {"nodes": []})


def test_the_api_graph_is_kept_without_an_editor_graph() -> None:
    """It is returned as the workflow."""
    params = read_generation_params(save_image("JPEG", exif=exif_block(json.dumps(GRAPH).encode())))
    assert params
    assert params.workflow == GRAPH


@pytest.mark.parametrize(
    "data",
    [
        save_image("GIF", comment=b"Created with GIMP"),
        save_image("JPEG", comment=b"CREATOR: gd-jpeg v1.0"),
        save_image("JPEG", exif=exif_block(b"ASCII\0\0\0Screenshot", x010F="Canon", x0110="EOS 5D")),
        save_image("PNG", pnginfo=png_texts(Software="GIMP", Comment="prompt, Steps: 4", Title="{}")),
        save_image("JPEG", exif=exif_block(b'{"a": 1}')),
        b"BM" + bytes(100),
    ],
)
def test_texts_of_cameras_and_editors_are_ignored(data: bytes) -> None:
    """They are not generation parameters."""
    assert read_generation_params(data) is None


def test_the_first_of_two_texts_takes_precedence() -> None:
    """The second fills what the first leaves open."""
    saver = "cat\nSteps: 9, Sampler: euler, Seed: 5, Version: ComfyUI"
    graph = {"1": {"class_type": "KSampler", "inputs": {"steps": 3, "seed": 5, "cfg": 2.5, "sampler_name": "x"}}}
    params = read_generation_params(save_image("PNG", pnginfo=png_texts(parameters=saver, prompt=json.dumps(graph))))
    assert params
    assert (params.tool, params.steps, params.cfg_scale, params.prompt) == ("ComfyUI", 9, 2.5, "cat")
    assert params.workflow == graph


def hide_text(text: bytes, mark: bytes, channels: tuple[int, ...], size: tuple[int, int]) -> bytes:
    """Return RGBA pixels with a text in the lowest bits, column by column."""
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
def test_stealth_texts_are_read(text: str, mark: str, channels: tuple[int, ...], packed: bool) -> None:
    """In alpha or RGB, compressed or not; the last column may be incomplete."""
    body = gzip.compress(text.encode()) if packed else text.encode()
    rgba = hide_text(body, f"stealth_{mark}{'comp' if packed else 'info'}".encode(), channels, (61, 37))
    params = read_stealth_params(rgba, 61, 37)
    assert params
    assert (params.prompt, params.negative_prompt, params.steps, params.seed) == (PROMPT, "dog", 9, 5)


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
def test_hostile_stealth_texts_are_ignored(text: bytes, mark: bytes) -> None:
    """A decompression bomb costs no more than the limit."""
    assert read_stealth_params(hide_text(text, mark, (3,), (620, 380)), 620, 380) is None


@pytest.mark.parametrize(("width", "height"), [(0, 0), (-1, -1), (3, 1), (1, 1), (2**40, 2**40)])
def test_pixels_of_the_wrong_size_are_ignored(width: int, height: int) -> None:
    """The reader does not read beyond the end."""
    assert read_stealth_params(bytes(8), width, height) is None


def test_decompression_bombs_are_dropped() -> None:
    """Single large texts and many of them are dropped; the texts beside them are read."""
    bomb = zlib.compress(bytes(30_000_000))
    good = png_chunk(b"tEXt", b"parameters\0" + INFOTEXT.encode())
    texts = read_text_chunks(png_with(good, *[png_chunk(b"zTXt", b"%d\0\0" % number + bomb) for number in range(50)]))
    assert texts.by_keyword == {"parameters": INFOTEXT}
    assert texts.remaining_bytes == 0
    damaged = png_chunk(b"zTXt", b"a\0\0" + bomb[:200] + b"\xff" * 8)
    twice = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000)))
    assert read_text_chunks(png_with(*[twice] * 50)).remaining_bytes < 3_000_000
    assert read_generation_params(png_with(damaged, png_chunk(b"zTXt", b"b\0\0"), good)) is not None


def test_number_and_size_of_texts_are_limited() -> None:
    """A hundred texts of at most four million bytes."""
    many = [png_chunk(b"tEXt", b"%d\0x" % number) for number in range(300)]
    assert len(read_text_chunks(png_with(*many)).by_keyword) == 100
    assert not read_text_chunks(png_with(png_chunk(b"tEXt", b"long\0" + b"x" * 4_000_001))).by_keyword
    assert [len(text) for text in read_text_chunks(save_image("GIF", comment=b"x" * 5000)).unkeyed] == [5000]


def test_fill_bytes_between_jpeg_segments_are_skipped() -> None:
    """JPEG allows any number of them before a marker."""
    data = save_image("JPEG", comment=INFOTEXT.encode())
    assert read_generation_params(data.replace(b"\xff\xfe", b"\xff" * 1000 + b"\xfe", 1)) is not None
    assert read_generation_params(b"\xff\xd8" + b"\xff" * 1_000_000) is None


def test_looping_and_dangling_exif_directories_end() -> None:
    """Reading terminates without texts."""
    loop = b"MM\0*" + struct.pack(">IHHHII", 8, 1, EXIF_IFD, 4, 1, 8) + bytes(4)
    beyond = b"MM\0*" + struct.pack(">IHHHII", 8, 60_000, USER_COMMENT, 7, 2**31, 2**31)
    for block in (loop, beyond, b"MM\0*\xff\xff\xff\xff", b"MM\0*"):
        assert read_text_chunks(png_with(png_chunk(b"eXIf", block))).unkeyed == []


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_the_comment_of_draw_things_is_read(form: str) -> None:
    """It is JSON in XMP; the description beside it says the same with less."""
    comment = {
        "c": PROMPT, "uc": "dog", "seed": 5, "steps": 9, "scale": 4.5, "sampler": "DPM++ 2M Karras", "size": "768x1024",
        "model": "flux_1_dev_q8p.ckpt", "strength": 1, "seed_mode": "Scale Alike",
        "lora": [{"model": "ink_lora_f16.ckpt", "weight": 0.6}, "x"], "v2": {"clipSkip": 2, "loras": [7]},
    }  # fmt: skip
    description = f"{PROMPT}\n-dog\nSteps: 9, Sampler: DPM++ 2M Karras, Guidance Scale: 4.5, Seed: 5, Size: 768x1024"
    packet = xmp_packet(description=description, UserComment=json.dumps(comment))
    if form == "PNG":
        data = png_with(png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    else:
        data = save_image(form, xmp=packet)
    params = read_generation_params(data)
    assert params
    assert params.to_json() == {
        "tool": "Draw Things", "prompt": PROMPT, "negativePrompt": "dog", "seed": 5, "steps": 9, "cfgScale": 4.5,
        "sampler": "DPM++ 2M", "scheduler": "Karras", "width": 768, "height": 1024, "denoise": 1.0, "clipSkip": 2,
        "model": "flux_1_dev_q8p.ckpt", "other": {"seed_mode": "Scale Alike"},
        "loras": [{"name": "ink_lora_f16.ckpt", "strength": 0.6}],
        "resources": [
            {"type": "checkpoint", "name": "flux_1_dev_q8p.ckpt"},
            {"type": "lora", "name": "ink_lora_f16.ckpt", "weight": 0.6},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    "packet",
    [
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><x><prompt>&b;\nSteps: 9, Seed: 5</prompt></x>",
        b"<x><!DOCTYPE y SYSTEM 'file:///etc/passwd'></x>",
        b"<description>" * 100_000,
        b"<x xmlns='" + b"a" * 1_000_000 + b"'/>",
        b"\0\xff\xfe<",
        b"<?xml version='1.0' encoding='none'?><x/>",
        b"",
    ],
)
def test_hostile_packets_have_no_texts(packet: bytes) -> None:
    """Document types are refused, and with them entities of any kind."""
    assert read_xmp_texts(packet) == []
    assert read_generation_params(save_image("WEBP", xmp=packet or b" ")) is None


def test_a_damaged_packet_has_the_texts_before_the_damage() -> None:
    """As in other containers."""
    packet = xmp_packet(UserComment=INFOTEXT)
    assert read_xmp_texts(packet[: packet.index(b"</exif:UserComment>") + 19]) == [INFOTEXT]


@pytest.mark.parametrize("data", [FILES["avif-exif"], FILES["avif-xmp"]], ids=["exif", "xmp"])
def test_torn_and_changed_avif_files_raise_nothing(data: bytes) -> None:
    """Whatever byte of their boxes is changed, and wherever they end."""
    start = data.index(b"meta")
    for position in range(start, start + 600):
        read_text_chunks(data[:position])
        for value in (0, 1, 127, 255):
            read_text_chunks(data[:position] + bytes([value]) + data[position + 1 :])


@pytest.mark.parametrize("text", [INFOTEXT, "plain", "caf\u00e9", ""])
def test_texts_are_added_to_png_files(text: str) -> None:
    """Pillow reads them, and the pixels stay as they are."""
    data = save_image("PNG")

    with Image.open(io.BytesIO(add_png_text(data, "parameters", text))) as image:
        image.load()
        assert image.info["parameters"] == text
        assert image.tobytes() == Image.open(io.BytesIO(data)).tobytes()


@pytest.mark.parametrize("data", [b"", save_image("JPEG"), save_image("PNG")[:20]])
def test_texts_are_not_added_to_other_files(data: bytes) -> None:
    """A torn header is no PNG file either."""
    with pytest.raises(ValueError, match="PNG"):
        add_png_text(data, "parameters", "x")
