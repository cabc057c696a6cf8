"""The pictures that tests upload: drawn by Pillow, or put together byte by byte where Pillow would not."""

import io
import struct
import zipfile
import zlib
from typing import Any

from PIL import Image, ImageDraw

ORIENTATION = 0x0112
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def drawn(size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    """A picture whose upper left corner is of another colour than the rest."""
    image = Image.new("RGB", size, "teal")
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1] // 2), fill="orange")
    return image.convert(mode)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    """The picture as a file."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def moving(form: str, frames: int = 3, size: tuple[int, int] = (64, 48)) -> bytes:
    """An animation whose frames differ."""
    images = [Image.new("RGB", size, (20 * number % 256, 90, 10)) for number in range(frames)]
    return saved(images[0], form, save_all=True, append_images=images[1:], duration=50)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, pixels: bytes, *between: bytes) -> bytes:
    """A PNG that says to have that size, eight bits of grey, whatever its pixels are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return PNG_MAGIC + header + b"".join(between) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def repeated(gif_file: bytes, times: int) -> bytes:
    """A GIF of one frame as one that shows it again and again."""
    head = 13 + 3 * 2 ** ((gif_file[10] & 7) + 1)
    return gif_file[:head] + gif_file[head:-1] * times + b";"


def gif(width: int, height: int, frames: int, frame: tuple[int, int] = (1, 1)) -> bytes:
    """A GIF whose canvas and number of frames may be absurd; each frame is a dot, whatever size it says to have."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    dot = b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\x00"
    return head + dot * frames + b";"


def opened(data: bytes) -> Image.Image:
    """A file as a picture, decoded."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def held(orientation: int) -> bytes:
    """A JPEG of a camera that was held so, with more in it than the turn."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "a maker of cameras"
    return saved(drawn((800, 600)), "JPEG", exif=exif.tobytes(), quality=95)


def zipped() -> bytes:
    """An archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("run.js", "alert(1)")
    return out.getvalue()


# What is taken, by what is odd about it, and its type.
GOOD: dict[str, tuple[bytes, str]] = {
    "png": (saved(drawn(), "PNG"), "image/png"),
    "jpeg": (saved(drawn(), "JPEG"), "image/jpeg"),
    "webp": (saved(drawn(), "WEBP"), "image/webp"),
    "gif": (saved(drawn(), "GIF"), "image/gif"),
    "cmyk": (saved(drawn(mode="CMYK"), "JPEG"), "image/jpeg"),
    "grey": (saved(drawn(mode="L"), "JPEG"), "image/jpeg"),
    "sixteen bits": (saved(drawn(mode="L").convert("I").point(lambda v: v * 257).convert("I;16"), "PNG"), "image/png"),
    "colours": (saved(drawn(mode="P"), "PNG"), "image/png"),
    "palette": (saved(drawn(mode="P"), "PNG", transparency=0), "image/png"),
    "one bit": (saved(drawn(mode="1"), "PNG"), "image/png"),
    "grey and clear": (saved(drawn(mode="LA"), "PNG"), "image/png"),
    "a dot": (saved(drawn((1, 1)), "PNG"), "image/png"),
    "a line": (saved(drawn((5000, 1)), "PNG"), "image/png"),
    "a bad turn": (held(200), "image/jpeg"),
    "moving gif": (moving("GIF"), "image/gif"),
    "moving webp": (moving("WEBP"), "image/webp"),
    "moving png": (moving("PNG"), "image/png"),
}
TAILS = {"zip": zipped(), "page": b"<!doctype html><script>alert(1)</script>", "picture": GOOD["jpeg"][0]}
SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
# What is not taken, by what it is, and the word for why.
REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not_a_picture"),
    "svg": (SVG, "not_a_picture"),
    "page": (b"<!doctype html><script>alert(1)</script>", "not_a_picture"),
    "archive": (zipped(), "not_a_picture"),
    "bmp": (saved(drawn(), "BMP"), "not_a_picture"),
    "tiff": (saved(drawn(), "TIFF"), "not_a_picture"),
    "script as gif": (b"GIF89a/*" + b"\0" * 20 + b"*/=1;alert(1)", "broken"),
    "script as jpeg": (b"\xff\xd8\xff\xe0<script>alert(1)</script>", "broken"),
    "torn png": (GOOD["png"][0][:-30], "broken"),
    "torn jpeg": (GOOD["jpeg"][0][:-30], "broken"),
    "torn webp": (GOOD["webp"][0][:-30], "broken"),
    "torn gif": (GOOD["moving gif"][0][:-30], "broken"),
    "no pixels in png": (png(4, 4, b""), "broken"),
    "wrong chunk": (png(4, 4, bytes(20)).replace(b"IDAT", b"IDAT"[::-1]), "broken"),
    "bomb png": (png(65_000, 65_000, b"\0" * 1000), "too_many_pixels"),
    "largest png": (png(2**31 - 1, 2**31 - 1, b""), "too_many_pixels"),
    "wide gif": (gif(65_535, 65_535, 1), "too_many_pixels"),
    "wide frame": (gif(1, 1, 1, frame=(65_535, 65_535)), "too_many_pixels"),
    "many frames": (gif(1, 1, 1001), "too_many_frames"),
    "long gif": (gif(1000, 1000, 900), "too_many_pixels"),
}
