"""The one place where strangers' pictures are decoded: a process that holds nothing, may little and ends soon.

Run as ``python -m workers.images.decode FOLDER LIMITS`` by ``workers.images.sandbox``, with the picture as its
input. It leaves ``answer.json`` and ``thumb.webp`` in the folder; ``LIMITS`` is JSON.
"""

import contextlib
import hashlib
import io
import json
import resource
import signal
import struct
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blurhash
from PIL import Image

from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.containers.segments import PNG_SIGNATURE_BYTES, walk_png
from schemas.images.embedded import read_generation_params, read_stealth_params
from schemas.images.inspected_image import MAX_IMAGE_BYTES, InspectedImage
from schemas.images.structure import ImageStructure, read_structure

RESULT_FILE, THUMBNAIL_FILE = "answer.json", "thumb.webp"
THUMBNAIL_BOX = (400, 3200)
THUMBNAIL_QUALITY = 80
BLURHASH_BOX = (32, 32)
BLURHASH_COMPONENTS = (4, 3)
EXIF_ORIENTATION = 0x0112
# What undoes each of the ways to hold a camera.
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
# What is no part of the pixels: read by nobody here, so that no text can make a good picture a bad one.
PNG_METADATA_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
HIGH_DEPTH_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# What Pillow and its plugins raise over bytes that they cannot read.
DECODE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What looking at one picture may cost. ``most_moving_pixels`` counts those of all frames of an animation."""

    wall_s: float = 20
    cpu_s: int = 20
    memory_bytes: int = 1536 * 1024 * 1024
    file_bytes: int = 64 * 1024 * 1024
    open_files: int = 32
    max_bytes: int = MAX_IMAGE_BYTES
    max_pixels: int = 64_000_000
    max_frames: int = 1000
    max_animation_pixels: int = 512_000_000


def inspect(data: bytes, limits: DecodeLimits) -> tuple[InspectedImage, bytes]:
    """What the picture is, and its thumbnail as WebP.

    Raises:
        FormatError: it is not taken; the code says why.
    """
    if len(data) > limits.max_bytes:
        raise FormatError("too_large", f"The picture has more than {limits.max_bytes:,} bytes.")
    framed = read_structure(data)
    _check_size(framed, limits)
    kept = data[: framed.end]
    first = _decode_first_frame(_strip_metadata(kept) if framed.format == "PNG" else kept, framed)
    turned = _orientation(first)
    thumb = _make_thumbnail(first, turned)
    width, height = first.size if turned not in SIDEWAYS_ORIENTATIONS else first.size[::-1]
    seen = InspectedImage(
        type=formats.BY_PILLOW_NAME[framed.format].media_type,
        width=width,
        height=height,
        animated=framed.frames > 1,
        blurhash=_compute_blurhash(thumb),
        sha256=hashlib.sha256(kept).hexdigest(),
        size_bytes=len(kept),
        generation=_drop_oversized(_read_generation(kept, first)),
    )
    return seen, _encode_webp(thumb)


def _read_generation(data: bytes, image: Image.Image) -> dict[str, Any] | None:
    """How the picture was made, as it says itself: in its bytes, or else hidden in its first frame's transparency."""
    found = read_generation_params(data)
    if found is None and image.mode == "RGBA":
        found = read_stealth_params(image.tobytes(), image.width, image.height)
    return found.to_json() if found else None


def _drop_oversized(generation: dict[str, Any] | None) -> dict[str, Any] | None:
    """Nothing, where it is too much to be carried."""
    return generation if len(json.dumps(generation)) <= MAX_GENERATION_BYTES else None


def _check_size(structure: ImageStructure, limits: DecodeLimits) -> None:
    pixels = structure.width * structure.height
    if pixels > limits.max_pixels:
        shown = f"{structure.width}x{structure.height} pixels"
        raise FormatError("too_many_pixels", f"The picture has {shown}; {limits.max_pixels:,} are the most.")
    if structure.frames > limits.max_frames:
        raise FormatError(
            "too_many_frames", f"The picture has {structure.frames} frames; {limits.max_frames:,} are the most."
        )
    if structure.frames > 1 and structure.frames * pixels > limits.max_animation_pixels:
        shown = f"{structure.frames} frames of {structure.width}x{structure.height} pixels"
        raise FormatError("too_many_pixels", f"The picture has {shown}; {limits.max_animation_pixels:,} are the most.")


def _strip_metadata(png: bytes) -> bytes:
    """The same picture without words."""
    chunks = list(walk_png(png))
    if not any(chunk.kind in PNG_METADATA_CHUNKS for chunk in chunks):
        return png
    kept = (png[chunk.start : chunk.end] for chunk in chunks if chunk.kind not in PNG_METADATA_CHUNKS)
    return png[:PNG_SIGNATURE_BYTES] + b"".join(kept)


def _decode_first_frame(data: bytes, structure: ImageStructure) -> Image.Image:
    """The first frame, after every frame has been read."""
    number = 0
    try:
        with Image.open(io.BytesIO(data), formats=[structure.format]) as image:
            image.verify()
        image = Image.open(io.BytesIO(data), formats=[structure.format])
        image.load()
        first = image.copy() if structure.frames > 1 else image
        for number in range(1, structure.frames):
            image.seek(number)
            image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise FormatError("too_many_pixels", "The picture has more pixels than it says.") from error
    except DECODE_ERRORS as error:
        which = f"frame {number + 1} of {structure.frames}" if structure.frames > 1 else "it"
        raise FormatError("broken", f"The picture is broken: {which} cannot be decoded.") from error
    return first


def _orientation(image: Image.Image) -> int:
    """How a camera says that it was held, from 1 to 8; 1 if it says nothing, or nonsense."""
    with contextlib.suppress(*DECODE_ERRORS):
        turned = image.getexif().get(EXIF_ORIENTATION)
        if isinstance(turned, int) and 1 <= turned <= 8:
            return turned
    return 1


def _make_thumbnail(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as it was seen, in the box of thumbnails and the colours that WebP has, nothing but its pixels."""
    if image.mode in HIGH_DEPTH_MODES:
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    width, height = THUMBNAIL_BOX if orientation not in SIDEWAYS_ORIENTATIONS else THUMBNAIL_BOX[::-1]
    small = _resize_to_fit(image, width, height)
    return small.transpose(ORIENTATION_TRANSFORMS[orientation]) if orientation in ORIENTATION_TRANSFORMS else small


def _resize_to_fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """A copy without what is said about it, no larger than that."""
    scale = min(1.0, width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    small.info = {}
    return small


def _compute_blurhash(thumbnail: Image.Image) -> str:
    small = _resize_to_fit(thumbnail, *BLURHASH_BOX)
    ground = Image.new("RGBA", small.size, "white")
    flat = Image.alpha_composite(ground, small.convert("RGBA")).convert("RGB")
    rows = [[flat.getpixel((x, y)) for x in range(flat.width)] for y in range(flat.height)]
    return str(blurhash.encode(rows, *BLURHASH_COMPONENTS))


def _encode_webp(thumbnail: Image.Image) -> bytes:
    out = io.BytesIO()
    thumbnail.save(out, "WEBP", quality=THUMBNAIL_QUALITY)
    return out.getvalue()


def apply_limits(limits: DecodeLimits) -> None:
    """Let this process have no more than ``limits`` says; it can never have more again."""
    most = {
        resource.RLIMIT_AS: (limits.memory_bytes, limits.memory_bytes),
        # Of the softer one it is told what it was that ended the process.
        resource.RLIMIT_CPU: (limits.cpu_s, limits.cpu_s + 1),
        resource.RLIMIT_FSIZE: (limits.file_bytes, limits.file_bytes),
        resource.RLIMIT_NOFILE: (limits.open_files, limits.open_files),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, values in most.items():
        resource.setrlimit(kind, values)
    # Whoever started this may be dead by then.
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s)
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.MAX_IMAGE_PIXELS = limits.max_pixels


def main(folder: Path, limits: DecodeLimits) -> None:
    """Look at the picture that is this process's input."""
    apply_limits(limits)
    answer: dict[str, Any]
    try:
        seen, thumb = inspect(sys.stdin.buffer.read(limits.max_bytes + 1), limits)
        answer = {"seen": seen.to_json()}
        (folder / THUMBNAIL_FILE).write_bytes(thumb)
    except FormatError as error:
        answer = {"refused": {"code": error.code, "message": str(error)}}
    except MemoryError:
        answer = {"refused": {"code": "too_much_memory", "message": "Looking at the picture needs too much memory."}}
    (folder / RESULT_FILE).write_text(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), DecodeLimits(**json.loads(sys.argv[2])))
