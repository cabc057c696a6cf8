"""Image files for tests: drawn by Pillow, or assembled from bytes where Pillow would refuse."""

import gzip
import io
import struct
import zipfile
import zlib
from typing import Any

from PIL import Image, ImageDraw

ORIENTATION = 0x0112
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def draw_image(size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    """Return an image whose upper left quarter has another color than the rest."""
    image = Image.new("RGB", size, "teal")
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1] // 2), fill="orange")
    return image.convert(mode)


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    """Return the image as a file."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def draw_animation(form: str, frames: int = 3, size: tuple[int, int] = (64, 48)) -> bytes:
    """Return an animation whose frames differ."""
    images = [Image.new("RGB", size, (20 * number % 256, 90, 10)) for number in range(frames)]
    return encode(images[0], form, save_all=True, append_images=images[1:], duration=50)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def build_png(width: int, height: int, pixels: bytes, *between: bytes) -> bytes:
    """Return a PNG, 8-bit grayscale, that declares this size whatever its pixels are."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return PNG_MAGIC + header + b"".join(between) + png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")


def repeat_gif_frame(gif_file: bytes, times: int) -> bytes:
    """Return a GIF that repeats the frame of a still GIF."""
    head = 13 + 3 * 2 ** ((gif_file[10] & 7) + 1)
    return gif_file[:head] + gif_file[head:-1] * times + b";"


def build_gif(width: int, height: int, frames: int, frame: tuple[int, int] = (1, 1)) -> bytes:
    """Return a GIF with any canvas size and frame count; each frame is one pixel, whatever size it declares."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    dot = b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\x00"
    return head + dot * frames + b";"


def hide_text(text: str, mode: str, signature: bytes, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return an image that hides a text in the lowest bits of its colors, or of its alpha channel."""
    body = gzip.compress(text.encode()) if signature.endswith(b"comp") else text.encode()
    data = signature + (len(body) * 8).to_bytes(4) + body
    bits = iter([byte >> shift & 1 for byte in data for shift in range(7, -1, -1)])
    image = draw_image(size, "RGBA")
    channels = (3,) if b"_png" in signature else (0, 1, 2)
    for x in range(size[0]):
        for y in range(size[1]):
            pixel = list(image.getpixel((x, y)))
            for channel in channels:
                pixel[channel] = pixel[channel] & ~1 | next(bits, 0)
            image.putpixel((x, y), tuple(pixel))
    return image.convert(mode) if mode != "P" else image.convert("RGB").quantize(256)


def decode(data: bytes) -> Image.Image:
    """Decode a file."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def rotated_jpeg(orientation: int) -> bytes:
    """Return a JPEG with this EXIF orientation and another EXIF text."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "a maker of cameras"
    return encode(draw_image((800, 600)), "JPEG", exif=exif.tobytes(), quality=95)


def build_zip() -> bytes:
    """Return a ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("run.js", "alert(1)")
    return out.getvalue()


# Accepted images and their media types, by their special feature.
VALID_IMAGES: dict[str, tuple[bytes, str]] = {
    "png": (encode(draw_image(), "PNG"), "image/png"),
    "jpeg": (encode(draw_image(), "JPEG"), "image/jpeg"),
    "webp": (encode(draw_image(), "WEBP"), "image/webp"),
    "gif": (encode(draw_image(), "GIF"), "image/gif"),
    "cmyk": (encode(draw_image(mode="CMYK"), "JPEG"), "image/jpeg"),
    "grey": (encode(draw_image(mode="L"), "JPEG"), "image/jpeg"),
    "sixteen bits": (
        encode(draw_image(mode="L").convert("I").point(lambda v: v * 257).convert("I;16"), "PNG"),
        "image/png",
    ),
    "colours": (encode(draw_image(mode="P"), "PNG"), "image/png"),
    "palette": (encode(draw_image(mode="P"), "PNG", transparency=0), "image/png"),
    "one bit": (encode(draw_image(mode="1"), "PNG"), "image/png"),
    "grey and clear": (encode(draw_image(mode="LA"), "PNG"), "image/png"),
    "a dot": (encode(draw_image((1, 1)), "PNG"), "image/png"),
    "a line": (encode(draw_image((5000, 1)), "PNG"), "image/png"),
    "a bad turn": (rotated_jpeg(200), "image/jpeg"),
    "moving gif": (draw_animation("GIF"), "image/gif"),
    "moving webp": (draw_animation("WEBP"), "image/webp"),
    "moving png": (draw_animation("PNG"), "image/png"),
    "avif": (encode(draw_image(), "AVIF"), "image/avif"),
    "clear avif": (encode(draw_image(mode="RGBA"), "AVIF"), "image/avif"),
    "moving avif": (draw_animation("AVIF"), "image/avif"),
    "png without end mark": (encode(draw_image(), "PNG")[:-12], "image/png"),
    "png with half an end mark": (encode(draw_image(), "PNG")[:-5], "image/png"),
    "jpeg without end mark": (encode(draw_image(), "JPEG")[:-2], "image/jpeg"),
    "jpeg with half an end mark": (encode(draw_image(), "JPEG")[:-1], "image/jpeg"),
    "progressive jpeg without end mark": (encode(draw_image(), "JPEG", progressive=True)[:-2], "image/jpeg"),
    "gif without end mark": (encode(draw_image(), "GIF")[:-1], "image/gif"),
    "moving gif without end mark": (draw_animation("GIF")[:-1], "image/gif"),
}
TRAILING_DATA = {
    "zip": build_zip(),
    "page": b"<!doctype html><script>alert(1)</script>",
    "picture": VALID_IMAGES["jpeg"][0],
}
SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
# Rejected files and the codes of their rejection.
REJECTED_IMAGES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not_a_picture"),
    "svg": (SVG, "not_a_picture"),
    "page": (b"<!doctype html><script>alert(1)</script>", "not_a_picture"),
    "archive": (build_zip(), "not_a_picture"),
    "bmp": (encode(draw_image(), "BMP"), "not_a_picture"),
    "tiff": (encode(draw_image(), "TIFF"), "not_a_picture"),
    "script as gif": (b"GIF89a/*" + b"\0" * 20 + b"*/=1;alert(1)", "broken"),
    "script as jpeg": (b"\xff\xd8\xff\xe0<script>alert(1)</script>", "broken"),
    "torn png": (VALID_IMAGES["png"][0][:-30], "broken"),
    "torn jpeg": (VALID_IMAGES["jpeg"][0][:-30], "broken"),
    "torn avif": (VALID_IMAGES["avif"][0][:-30], "broken"),
    "avif without pixels": (VALID_IMAGES["avif"][0].partition(b"mdat")[0][:-4], "broken"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "not_a_picture"),
    "video": (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "not_a_picture"),
    "torn webp": (VALID_IMAGES["webp"][0][:-30], "broken"),
    "torn gif": (VALID_IMAGES["moving gif"][0][:-30], "broken"),
    "no pixels in png": (build_png(4, 4, b""), "broken"),
    "wrong chunk": (build_png(4, 4, bytes(20)).replace(b"IDAT", b"IDAT"[::-1]), "broken"),
    "bomb png": (build_png(65_000, 65_000, b"\0" * 1000), "too_many_pixels"),
    "largest png": (build_png(2**31 - 1, 2**31 - 1, b""), "too_many_pixels"),
    "wide gif": (build_gif(65_535, 65_535, 1), "too_many_pixels"),
    "wide frame": (build_gif(1, 1, 1, frame=(65_535, 65_535)), "too_many_pixels"),
    "many frames": (build_gif(1, 1, 1001), "too_many_frames"),
    "long gif": (build_gif(1000, 1000, 900), "too_many_pixels"),
}
