"""Makes the derived files of a gallery picture. Runs in the sandbox: see ``workers.images.decode``.

Started by ``workers.images.derivatives`` as ``python -m workers.images.derive FOLDER LIMITS MODE`` with the picture on
stdin. Writes ``result.json`` and the files of the derivatives to FOLDER.
"""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from schemas.format_error import FormatError
from schemas.images import formats
from schemas.images.containers.metadata_removal import blank_video_metadata, remove_metadata
from schemas.images.formats import ImageFormat
from schemas.images.structure import ImageStructure, read_structure
from workers.images.decode import (
    ORIENTATION_TRANSFORMS,
    RESULT_FILE,
    DecodedImage,
    DecodeLimits,
    apply_limits,
    decode_image,
    encode_webp,
    has_hidden_text,
    make_thumbnail,
)

CLEAN_FILE, ICON_FILE, THUMB_FILE, PREVIEW_FILE = "clean", "icon.png", "thumb.webp", "preview.webp"
ICON_SIDE_PX = 64
THUMB_SIDE_PX = 512
PREVIEW_SIDE_PX = 320
# A longer animation is shown with fewer frames in the same time.
MAX_PREVIEW_FRAMES = 120
VIDEOS = (formats.MP4, formats.WEBM)
MIN_FRAME_MS = 20
DEFAULT_FRAME_MS = 100
PREVIEW_QUALITY = 70
REENCODE_QUALITY = 95

# Tables of what pixels become when a text in their lowest bits is cleared. An opaque picture stays opaque.
CLEARED_COLORS = [value & 0xFE for value in range(256)]
CLEARED_ALPHA = [value | 1 for value in range(256)]


class Mode(StrEnum):
    """What happens to the picture itself.

    ``CLEAN`` makes a copy without metadata, upright. ``EXACT`` only derives, because the bytes are kept as they are.
    ``STRUCTURE`` does not even decode: for videos and pictures that are too large for that. ``CLEAN_VIDEO`` is the same
    for videos only, and overwrites their metadata.
    """

    CLEAN = "clean"
    EXACT = "exact"
    STRUCTURE = "structure"
    CLEAN_VIDEO = "clean_video"


@dataclass(frozen=True, slots=True)
class Derived:
    """The inspection result and the derived files by name; without ``CLEAN_FILE``, the picture has no metadata."""

    type: str
    width: int
    height: int
    frames: int
    end: int
    files: dict[str, bytes]

    def to_json(self) -> dict[str, Any]:
        """Return the fields without the contents of the files."""
        numbers = {"width": self.width, "height": self.height, "frames": self.frames, "end": self.end}
        return {"type": self.type, **numbers, "files": sorted(self.files)}


def derive(data: bytes, mode: Mode, limits: DecodeLimits) -> Derived:
    """Return the derivatives of a picture; for a video, only the inspection result.

    Raises:
        FormatError: the picture is not accepted; its code is the reason.
    """
    if mode in (Mode.STRUCTURE, Mode.CLEAN_VIDEO):
        return _read_only_structure(data, mode, limits)
    decoded = decode_image(data, limits)
    structure = decoded.structure
    files = _derivatives(decoded)
    if mode is Mode.EXACT:
        return _describe(structure, files, decoded.width, decoded.height)
    clean = _clean(decoded)
    if clean != data:
        files[CLEAN_FILE] = clean
    kept = read_structure(clean)
    return _describe(kept, files)


def _read_only_structure(data: bytes, mode: Mode, limits: DecodeLimits) -> Derived:
    if len(data) > limits.max_bytes:
        raise FormatError("too_large", f"The picture has more than {limits.max_bytes:,} bytes.")
    if mode is Mode.STRUCTURE:
        return _describe(read_structure(data, formats.DELIVERED), {})
    structure = read_structure(data, VIDEOS)
    clean = blank_video_metadata(data[: structure.end], formats.BY_NAME[structure.format])
    return _describe(structure, {CLEAN_FILE: clean} if clean != data else {})


def _describe(structure: ImageStructure, files: dict[str, bytes], width: int = 0, height: int = 0) -> Derived:
    media_type = formats.BY_NAME[structure.format].media_type
    size = width or structure.width, height or structure.height
    return Derived(media_type, *size, structure.frames, structure.end, files)


def _derivatives(decoded: DecodedImage) -> dict[str, bytes]:
    thumb = make_thumbnail(decoded.frame, decoded.orientation, (THUMB_SIDE_PX, THUMB_SIDE_PX))
    icon = ImageOps.fit(thumb, (ICON_SIDE_PX, ICON_SIDE_PX), Image.Resampling.BICUBIC)
    files = {THUMB_FILE: encode_webp(thumb), ICON_FILE: _encode(icon, formats.PNG, optimize=True)}
    if decoded.structure.frames > 1:
        files[PREVIEW_FILE] = _make_preview(decoded)
    return files


def _make_preview(decoded: DecodedImage) -> bytes:
    """Return a small animation with at most MAX_PREVIEW_FRAMES frames and the duration of the whole one."""
    frames, durations = [], []
    for frame, duration_ms in _sampled_frames(decoded):
        frames.append(make_thumbnail(frame, 1, (PREVIEW_SIDE_PX, PREVIEW_SIDE_PX)))
        durations.append(duration_ms)
    options = {"append_images": frames[1:], "duration": durations, "loop": 0, "method": 2}
    return _encode(frames[0], formats.WEBP, save_all=True, quality=PREVIEW_QUALITY, **options)


def _sampled_frames(decoded: DecodedImage) -> Iterator[tuple[Image.Image, int]]:
    structure = decoded.structure
    step = -(-structure.frames // MAX_PREVIEW_FRAMES)
    with Image.open(io.BytesIO(decoded.data + structure.missing_end), formats=[structure.format]) as image:
        shown, total_ms = None, 0
        for number in range(structure.frames):
            image.seek(number)
            image.load()
            if number % step == 0:
                if shown:
                    yield shown, total_ms
                shown, total_ms = image.convert("RGBA"), 0
            total_ms += max(MIN_FRAME_MS, round(image.info.get("duration") or DEFAULT_FRAME_MS))
        if shown:
            yield shown, total_ms


def _clean(decoded: DecodedImage) -> bytes:
    """Return the picture without metadata: the same pixels, unless they must be turned or the format cannot do it."""
    structure, form = decoded.structure, formats.BY_NAME[decoded.structure.format]
    if structure.frames == 1 and has_hidden_text(structure.format, decoded.frame):
        return _encode_again(decoded, form, clears_text=True)
    if decoded.orientation in ORIENTATION_TRANSFORMS and structure.frames == 1:
        return _encode_again(decoded, form)
    clean = remove_metadata(decoded.data + structure.missing_end, form)
    return _encode_again(decoded, form) if clean is None else clean


def _encode_again(decoded: DecodedImage, form: ImageFormat, *, clears_text: bool = False) -> bytes:
    """Return the picture upright, and with ``clears_text`` without the lowest bits of its pixels, which hide a text."""
    structure = decoded.structure
    with Image.open(io.BytesIO(decoded.data + structure.missing_end), formats=[structure.format]) as image:
        options: dict[str, Any] = {"icc_profile": image.info.get("icc_profile"), "exif": b"", "xmp": b""}
        if form in (formats.JPEG, formats.WEBP, formats.AVIF):
            options["quality"] = REENCODE_QUALITY
        if structure.frames > 1:
            frames, durations = [], []
            for number in range(structure.frames):
                image.seek(number)
                frames.append(image.convert("RGBA"))
                durations.append(max(MIN_FRAME_MS, round(image.info.get("duration") or DEFAULT_FRAME_MS)))
            return _encode(frames[0], form, save_all=True, append_images=frames[1:], duration=durations, **options)
        image.load()
        upright = image.copy()
        if decoded.orientation in ORIENTATION_TRANSFORMS:
            upright = image.transpose(ORIENTATION_TRANSFORMS[decoded.orientation])
        if clears_text:
            upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
            upright = upright.point(CLEARED_COLORS * 3 + (CLEARED_ALPHA if upright.mode == "RGBA" else []))
            options |= {"lossless": True, "exact": True} if form is formats.WEBP else {}
        upright.info = {}
        return _encode(upright, form, **options)


def _encode(image: Image.Image, form: ImageFormat, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form.name, **options)
    return out.getvalue()


def main(folder: Path, limits: DecodeLimits, mode: Mode) -> None:
    """Derive from the picture on stdin and write the results to ``folder``."""
    apply_limits(limits)
    try:
        derived = derive(sys.stdin.buffer.read(limits.max_bytes + 1), mode, limits)
        for name, content in derived.files.items():
            (folder / name).write_bytes(content)
        result = derived.to_json()
    except FormatError as error:
        result = {"rejected": {"code": error.code, "message": str(error)}}
    except MemoryError:
        result = {"rejected": {"code": "too_much_memory", "message": "Decoding the picture needs too much memory."}}
    (folder / RESULT_FILE).write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), DecodeLimits(**json.loads(sys.argv[2])), Mode(sys.argv[3]))
