"""Decodes untrusted images. Runs in the sandbox: a short-lived child process with resource limits and no secrets.

Started by ``workers.images.sandbox`` as ``python -m workers.images.decode FOLDER LIMITS`` with the image on stdin;
LIMITS is JSON. Writes ``result.json``, and for an accepted image ``thumbnail.webp``, to FOLDER. With ALPHA_MASK as a
third argument, the image is a mask made of the transparency of the one on stdin, and written to ``mask.png``.
"""

import contextlib
import hashlib
import io
import json
import resource
import signal
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blurhash
from PIL import AvifImagePlugin, Image

from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.containers.segments import PNG_SIGNATURE_BYTES, walk_png
from schemas.images.containers.stealth_png import HEADER_COLUMNS, has_stealth_text
from schemas.images.embedded import read_generation_params, read_stealth_params
from schemas.images.inspected_image import MAX_IMAGE_BYTES, InspectedImage
from schemas.images.structure import ImageStructure, read_structure
from schemas.messages import ALPHA_MASK
from workers.images.pixels import DECODE_ERRORS, decode_pixels

RESULT_FILE, THUMBNAIL_FILE, MASK_FILE = "result.json", "thumbnail.webp", "mask.png"
THUMBNAIL_BOX = (400, 3200)
THUMBNAIL_QUALITY = 80
BLURHASH_BOX = (32, 32)
BLURHASH_COMPONENTS = (4, 3)
EXIF_ORIENTATION = 0x0112
# The EXIF orientations and the transformations that undo them.
ORIENTATION_TRANSFORMS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS_ORIENTATIONS = (5, 6, 7, 8)
MAX_GENERATION_BYTES = 16 * 1024 * 1024
# Not part of the pixels. Removed before decoding, because Pillow rejects whole images for damaged text chunks.
PNG_METADATA_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
# Formats in which the lowest bits of pixels are preserved.
LOSSLESS_FORMATS = ("PNG", "WEBP")
STEALTH_MODES = ("RGB", "RGBA", "P")
HIGH_DEPTH_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits for one image. ``max_animation_pixels`` counts the pixels of all frames."""

    wall_s: float = 20
    cpu_s: int = 20
    memory_bytes: int = 1536 * 1024 * 1024
    file_bytes: int = 64 * 1024 * 1024
    open_files: int = 32
    max_bytes: int = MAX_IMAGE_BYTES
    max_pixels: int = formats.MAX_PIXELS
    max_frames: int = 1000
    max_animation_pixels: int = 512_000_000


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A picture that has been decoded: its bytes up to its end, their structure, the first frame and its orientation.

    ``width`` and ``height`` are in pixels after the EXIF orientation is applied.
    """

    data: bytes
    structure: ImageStructure
    frame: Image.Image
    orientation: int

    @property
    def width(self) -> int:
        """The width of the upright picture."""
        return self.frame.height if self.orientation in SIDEWAYS_ORIENTATIONS else self.frame.width

    @property
    def height(self) -> int:
        """The height of the upright picture."""
        return self.frame.width if self.orientation in SIDEWAYS_ORIENTATIONS else self.frame.height


def decode_image(data: bytes, limits: DecodeLimits) -> DecodedImage:
    """Decode every frame of a picture within limits. Bytes after the picture's end are ignored.

    Raises:
        FormatError: the image is not accepted; its code is the reason.
    """
    if len(data) > limits.max_bytes:
        raise FormatError("too_large", f"The picture has more than {limits.max_bytes:,} bytes.")
    structure = read_structure(data)
    _check_size(structure, limits)
    image_bytes = data[: structure.end]
    pixel_bytes = _strip_metadata(image_bytes, structure) if structure.format == "PNG" else image_bytes
    frame = decode_pixels(pixel_bytes, structure)
    return DecodedImage(image_bytes, structure, frame, _orientation(frame))


def inspect(data: bytes, limits: DecodeLimits) -> tuple[InspectedImage, bytes]:
    """Return the inspection result of the image, and its thumbnail as WebP; raises as ``decode_image``."""
    decoded = decode_image(data, limits)
    thumbnail = make_thumbnail(decoded.frame, decoded.orientation, THUMBNAIL_BOX)
    image = InspectedImage(
        type=formats.BY_NAME[decoded.structure.format].media_type,
        width=decoded.width,
        height=decoded.height,
        animated=decoded.structure.frames > 1,
        blurhash=_compute_blurhash(thumbnail),
        sha256=hashlib.sha256(decoded.data).hexdigest(),
        size_bytes=len(decoded.data),
        generation=_read_generation(decoded.data, decoded.structure.format, decoded.frame),
    )
    return image, encode_webp(thumbnail)


def _read_generation(data: bytes, form: str, frame: Image.Image) -> dict[str, Any] | None:
    """Return the generation parameters from the metadata, or else from the lowest bits of the pixels (stealth PNG)."""
    params = read_generation_params(data)
    if params is None and has_hidden_text(form, frame):
        params = read_stealth_params(frame.convert("RGBA").tobytes(), frame.width, frame.height)
    generation = params.to_json() if params else None
    return generation if len(json.dumps(generation)) <= MAX_GENERATION_BYTES else None


def has_hidden_text(form: str, frame: Image.Image) -> bool:
    """Whether pixels hide a text; only the first columns are converted, because most images hide none."""
    if form not in LOSSLESS_FORMATS or frame.mode not in STEALTH_MODES:
        return False
    first = frame.crop((0, 0, min(frame.width, HEADER_COLUMNS), frame.height)).convert("RGBA")
    return has_stealth_text(first.tobytes(), first.width, first.height)


def _check_size(structure: ImageStructure, limits: DecodeLimits) -> None:
    pixels = structure.width * structure.height
    size = f"{structure.width}x{structure.height}"
    if pixels > limits.max_pixels:
        message = f"The picture has {size} pixels; at most {limits.max_pixels:,} are accepted."
        raise FormatError("too_many_pixels", message)
    if structure.frames > limits.max_frames:
        message = f"The picture has {structure.frames} frames; at most {limits.max_frames:,} are accepted."
        raise FormatError("too_many_frames", message)
    if structure.frames > 1 and structure.frames * pixels > limits.max_animation_pixels:
        message = (
            f"The picture has {structure.frames} frames of {size} pixels;"
            f" at most {limits.max_animation_pixels:,} pixels in all frames are accepted."
        )
        raise FormatError("too_many_pixels", message)


def _strip_metadata(png: bytes, structure: ImageStructure) -> bytes:
    chunks = list(walk_png(png + structure.missing_end))
    if not any(chunk.kind in PNG_METADATA_CHUNKS for chunk in chunks):
        return png
    kept = (png[chunk.start : chunk.end] for chunk in chunks if chunk.kind not in PNG_METADATA_CHUNKS)
    return png[:PNG_SIGNATURE_BYTES] + b"".join(kept)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, from 1 to 8; 1 if it is missing or invalid."""
    with contextlib.suppress(*DECODE_ERRORS):
        orientation = image.getexif().get(EXIF_ORIENTATION)
        if isinstance(orientation, int) and 1 <= orientation <= 8:
            return orientation
    return 1


def make_thumbnail(image: Image.Image, orientation: int, box: tuple[int, int]) -> Image.Image:
    """Scale the image down into the box, upright, in a mode that WebP supports and without metadata."""
    if image.mode in HIGH_DEPTH_MODES:
        # convert("L") would clip 16-bit values instead of scaling them.
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    width, height = box if orientation not in SIDEWAYS_ORIENTATIONS else box[::-1]
    small = _resize_to_fit(image, width, height)
    return small.transpose(ORIENTATION_TRANSFORMS[orientation]) if orientation in ORIENTATION_TRANSFORMS else small


def _resize_to_fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return a copy without metadata that fits into the box; small images are not enlarged."""
    scale = min(1.0, width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    small.info = {}
    return small


def _compute_blurhash(thumbnail: Image.Image) -> str:
    small = _resize_to_fit(thumbnail, *BLURHASH_BOX)
    background = Image.new("RGBA", small.size, "white")
    flat = Image.alpha_composite(background, small.convert("RGBA")).convert("RGB")
    rows = [[flat.getpixel((x, y)) for x in range(flat.width)] for y in range(flat.height)]
    return str(blurhash.encode(rows, *BLURHASH_COMPONENTS))


def encode_webp(thumbnail: Image.Image) -> bytes:
    """Return the thumbnail as a still WebP file."""
    out = io.BytesIO()
    thumbnail.save(out, "WEBP", quality=THUMBNAIL_QUALITY)
    return out.getvalue()


def apply_limits(limits: DecodeLimits) -> None:
    """Restrict this process irrevocably to ``limits``."""
    rlimits = {
        resource.RLIMIT_AS: (limits.memory_bytes, limits.memory_bytes),
        # At the soft limit the kernel sends SIGXCPU, which names the reason; at the hard limit SIGKILL.
        resource.RLIMIT_CPU: (limits.cpu_s, limits.cpu_s + 1),
        resource.RLIMIT_FSIZE: (limits.file_bytes, limits.file_bytes),
        resource.RLIMIT_NOFILE: (limits.open_files, limits.open_files),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, values in rlimits.items():
        resource.setrlimit(kind, values)
    # The parent also enforces the wall time, but it may have died.
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s)
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    # Each thread reserves address space, which is limited too.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.MAX_IMAGE_PIXELS = limits.max_pixels


def draw_mask(data: bytes, limits: DecodeLimits) -> bytes | None:
    """Return a PNG that is white where the picture is fully transparent and black elsewhere; None if it is nowhere.

    A picture without a transparent place is such a mask itself. Raises as ``decode_image``.
    """
    decoded = decode_image(data, limits)
    if not decoded.frame.has_transparency_data:
        return None
    alpha = decoded.frame.convert("RGBA").getchannel("A")
    if alpha.getextrema()[0] != 0:
        return None
    mask = alpha.point([255] + [0] * 255)
    if decoded.orientation in ORIENTATION_TRANSFORMS:
        mask = mask.transpose(ORIENTATION_TRANSFORMS[decoded.orientation])
    out = io.BytesIO()
    mask.save(out, "PNG")
    return out.getvalue()


def main(folder: Path, limits: DecodeLimits, kind: str = "") -> None:
    """Inspect the image on stdin and write the result to ``folder``."""
    apply_limits(limits)
    result: dict[str, Any]
    try:
        data = sys.stdin.buffer.read(limits.max_bytes + 1)
        if kind == ALPHA_MASK and (mask := draw_mask(data, limits)) is not None:
            (folder / MASK_FILE).write_bytes(mask)
            data = mask
        image, thumbnail = inspect(data, limits)
        result = {"image": image.to_json()}
        (folder / THUMBNAIL_FILE).write_bytes(thumbnail)
    except FormatError as error:
        result = {"rejected": {"code": error.code, "message": str(error)}}
    except MemoryError:
        result = {"rejected": {"code": "too_much_memory", "message": "Decoding the picture needs too much memory."}}
    (folder / RESULT_FILE).write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), DecodeLimits(**json.loads(sys.argv[2])), *sys.argv[3:])
