"""The files that the gallery derives from a picture: the picture itself, an icon, a thumbnail, a preview of animations.

The work is done in a sandboxed child process, and everything that the child writes is checked here.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from schemas.errors import Invalid, ServiceError
from schemas.images import formats
from schemas.images.formats import ImageFormat
from schemas.images.structure import read_structure
from workers.images.convert import MAX_IMAGE_BYTES as MAX_RESULT_IMAGE_BYTES
from workers.images.decode import DecodeLimits
from workers.images.derive import (
    CLEAN_FILE,
    ICON_FILE,
    ICON_SIDE_PX,
    PREVIEW_FILE,
    PREVIEW_SIDE_PX,
    THUMB_FILE,
    THUMB_SIDE_PX,
    Mode,
)
from workers.images.sandbox import DEFAULT_LIMITS, read_bounded, read_result_file, run_in_sandbox

DERIVE_MODULE = "workers.images.derive"
# Encoding again and previews of long animations take longer than looking at a picture.
LIMITS = replace(DEFAULT_LIMITS, wall_s=60, cpu_s=60, file_bytes=128 * 1024 * 1024)
# Jobs deliver more than clients may upload.
JOB_LIMITS = replace(LIMITS, max_bytes=MAX_RESULT_IMAGE_BYTES)
# Reasons why a picture is shown by its poster only.
TOO_LARGE_TO_DECODE = frozenset({"too_many_pixels", "too_many_frames", "took_too_long", "too_much_memory"})
MAX_DERIVATIVE_BYTES = 16 * 1024 * 1024
COPY_BYTES = 1024 * 1024
INVALID_RESULT = "Deriving from the picture returned an invalid result."


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as the gallery keeps it, with the files of its derivatives.

    ``file`` holds the exact bytes to keep, with their SHA-256 and size. ``poster`` is the still JPEG of a video or of a
    picture that is too large to be decoded; the thumbnails are its own then.
    """

    type: str
    width: int
    height: int
    frames: int
    sha256: str
    size_bytes: int
    file: IO[bytes] = field(repr=False)
    icon: bytes = field(repr=False)
    thumb: bytes = field(repr=False)
    preview: bytes | None = field(repr=False, default=None)
    poster: bytes | None = field(repr=False, default=None)


@contextmanager
def derive_picture(
    file: IO[bytes], mode: Mode, limits: DecodeLimits = LIMITS, poster: bytes | None = None
) -> Iterator[Picture]:
    """Examine the picture in a file, and derive from it; its bytes are in a file that lives as long as the context.

    With ``poster``, a video or a picture that is too large to be decoded is accepted too, and shown by that.

    Raises:
        Invalid: it is not acceptable; ``details["reason"]`` is a code for the reason.
        ServiceError: the child returned an invalid result.
    """
    with ExitStack() as stack:
        yield _enter(stack, file, mode, limits, poster)


def _enter(stack: ExitStack, file: IO[bytes], mode: Mode, limits: DecodeLimits, poster: bytes | None) -> Picture:
    if poster is None:
        return stack.enter_context(_derive(file, mode, limits))
    if not _is_video(file):
        try:
            return stack.enter_context(_derive(file, mode, limits))
        except Invalid as error:
            if error.details.get("reason") not in TOO_LARGE_TO_DECODE or mode is Mode.CLEAN:
                raise
    elif mode is Mode.CLEAN:
        return _with_poster(stack.enter_context(_derive(file, Mode.CLEAN_VIDEO, limits)), poster)
    return _with_poster(stack.enter_context(_derive(file, Mode.STRUCTURE, limits)), poster)


def _is_video(file: IO[bytes]) -> bool:
    form = detect_format(file)
    return form is not None and form.is_video


def detect_format(file: IO[bytes]) -> ImageFormat | None:
    """Return the format that the file begins with, or None.

    Files are read by their descriptors here: the child process moves the position, of which a buffer knows nothing.
    """
    file.flush()
    return formats.detect(os.pread(file.fileno(), formats.SIGNATURE_BYTES, 0), formats.DELIVERED)


def _with_poster(picture: Picture, poster: bytes) -> Picture:
    with tempfile.TemporaryFile() as file:
        file.write(poster)
        file.flush()
        with _derive(file, Mode.EXACT, LIMITS) as drawn:
            return replace(picture, icon=drawn.icon, thumb=drawn.thumb, poster=poster)


@contextmanager
def _derive(file: IO[bytes], mode: Mode, limits: DecodeLimits) -> Iterator[Picture]:
    with run_in_sandbox(DERIVE_MODULE, file, limits, mode) as folder, tempfile.TemporaryFile() as kept:
        try:
            result = read_result_file(folder)
            _copy_picture(file, folder, result, kept, limits)
            picture = Picture(
                type=_choice(result["type"], set(formats.BY_MEDIA_TYPE)),
                width=_positive(result["width"]),
                height=_positive(result["height"]),
                frames=_positive(result["frames"]),
                sha256=_digest(kept),
                size_bytes=os.fstat(kept.fileno()).st_size,
                file=kept,
                icon=b"",
                thumb=b"",
            )
            if mode in (Mode.CLEAN, Mode.EXACT):
                picture = _with_derivatives(picture, folder, result)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ServiceError(INVALID_RESULT) from error
        yield picture


def _copy_picture(file: IO[bytes], folder: Path, result: dict[str, Any], kept: IO[bytes], limits: DecodeLimits) -> None:
    """Copy the clean picture, or else the file itself up to the end of the picture in it."""
    if CLEAN_FILE in result["files"]:
        clean = os.open(folder / CLEAN_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(clean, "rb") as source:
            if os.fstat(source.fileno()).st_size > limits.file_bytes:
                raise ValueError("the clean picture is too large")
            _copy(source, kept)
    else:
        _copy(file, kept)
    form = detect_format(kept)
    if form is None or form.media_type != result["type"]:
        raise ValueError("the picture is of another type")


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    offset = 0
    while chunk := os.pread(source.fileno(), COPY_BYTES, offset):
        target.write(chunk)
        offset += len(chunk)
    target.flush()


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # a binary file is one


def _with_derivatives(picture: Picture, folder: Path, result: dict[str, Any]) -> Picture:
    icon = _read_file(folder / ICON_FILE, formats.PNG, ICON_SIDE_PX)
    thumb = _read_file(folder / THUMB_FILE, formats.WEBP, THUMB_SIDE_PX)
    has_preview = PREVIEW_FILE in result["files"]
    preview = _read_file(folder / PREVIEW_FILE, formats.WEBP, PREVIEW_SIDE_PX) if has_preview else None
    return replace(picture, icon=icon, thumb=thumb, preview=preview)


def _read_file(path: Path, form: ImageFormat, max_side_px: int) -> bytes:
    data = read_bounded(path, MAX_DERIVATIVE_BYTES)
    structure = read_structure(data, (form,))
    if structure.end != len(data) or max(structure.width, structure.height) > max_side_px:
        raise ValueError(f"{path.name} is not what it should be")
    return data


def _choice(value: Any, choices: set[str]) -> str:
    if value not in choices:
        raise ValueError("not a known type")
    return str(value)


def _positive(value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**31:
        raise ValueError("not a positive number")
    return value
