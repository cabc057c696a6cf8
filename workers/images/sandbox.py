"""Runs image decoding in a sandboxed child process: empty environment, resource limits, timeout, validated output.

A crafted image may take over the child, so everything that the child writes is untrusted.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import structlog

from ops.infra.settings import ROOT
from schemas.errors import Invalid, ServiceError
from schemas.images.inspected_image import MAX_IMAGE_BYTES, InspectedImage
from schemas.images.structure import read_structure
from schemas.untrusted_json import MAX_DEPTH, JsonReader
from workers.images.decode import MASK_FILE, MAX_GENERATION_BYTES, RESULT_FILE, THUMBNAIL_FILE, DecodeLimits

DEFAULT_LIMITS = DecodeLimits()
INSPECT_MODULE = "workers.images.decode"
MAX_RESULT_BYTES = 2 * MAX_GENERATION_BYTES
# Generation parameters of the maximal depth, and the levels around them.
RESULT_READER = JsonReader("The result", max_depth=MAX_DEPTH + 10)
MAX_THUMBNAIL_BYTES = 8 * 1024 * 1024
STDERR_TAIL_BYTES = 2000
INVALID_RESULT = "Image inspection returned an invalid result."
MAX_REASON_CHARS, MAX_MESSAGE_CHARS = 40, 300
# The child must not see the settings: keys, passwords, addresses of stores.
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8"}
TIMED_OUT = "took_too_long", "Decoding the picture takes too long."
OUT_OF_MEMORY = "too_much_memory", "Decoding the picture needs too much memory."
UNDECODABLE = "broken", "The picture is broken: it cannot be decoded."
# Bounds the memory of all children together: each may use DecodeLimits.memory_bytes.
_slots = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InspectionResult:
    """An accepted image and its thumbnail, a WebP file.

    ``mask`` is the image itself, a PNG, if it was made of the transparency of the one in the file.
    """

    image: InspectedImage
    thumbnail: bytes = field(repr=False)
    mask: bytes | None = field(repr=False, default=None)


def inspect_in_sandbox(file: IO[bytes], limits: DecodeLimits = DEFAULT_LIMITS, kind: str = "") -> InspectionResult:
    """Inspect the image in a file with a descriptor, read from its beginning; ``kind`` may be ``ALPHA_MASK``.

    Raises:
        Invalid: it is not an acceptable image; ``details["reason"]`` is a code for the reason.
        ServiceError: the child returned an invalid result.
    """
    with run_in_sandbox(INSPECT_MODULE, file, limits, *([kind] if kind else [])) as folder:
        result = _read_result(folder)
    max_bytes = os.fstat(file.fileno()).st_size if result.mask is None else len(result.mask)
    if result.image.size_bytes > max_bytes:
        raise ServiceError(INVALID_RESULT)
    return result


@contextmanager
def run_in_sandbox(module: str, file: IO[bytes], limits: DecodeLimits, *options: str) -> Iterator[Path]:
    """Run ``python -m MODULE FOLDER LIMITS OPTIONS`` with a file as its input; yield the folder with its results.

    Raises:
        Invalid: the child failed or took too long; ``details["reason"]`` is a code for the reason.
    """
    with _slots, tempfile.TemporaryDirectory(prefix="inspect-") as name, tempfile.TemporaryFile() as stderr:
        folder = Path(name)
        file.flush()
        # Not file.seek: the child reads by the descriptor, whose position a buffer leaves elsewhere.
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        command = [sys.executable, "-m", module, str(folder), json.dumps(asdict(limits)), *options]
        code = _run_child(file, folder, command, limits.wall_s, stderr)
        if code != 0:
            reason, message = _failure(code, stderr)
            raise Invalid(message, reason=reason)
        yield folder


def read_result_file(folder: Path) -> dict[str, Any]:
    """Return the child's result, which is untrusted.

    Raises:
        Invalid: it says that the picture is rejected.
        ValueError: it is no JSON object, or too deep or large; OSError, KeyError, TypeError as well.
    """
    result: dict[str, Any] = RESULT_READER.parse(read_bounded(folder / RESULT_FILE, MAX_RESULT_BYTES).decode())
    if "rejected" in result:
        reason, message = str(result["rejected"]["code"]), str(result["rejected"]["message"])
        raise Invalid(message[:MAX_MESSAGE_CHARS], reason=reason[:MAX_REASON_CHARS])
    return result


def _run_child(file: IO[bytes], _folder: Path, command: Sequence[str], wall_s: float, stderr: IO[bytes]) -> int:
    """Run the child and return its exit code; on a timeout that of a process killed by SIGALRM."""
    process = subprocess.Popen(
        command,
        stdin=file,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        cwd=ROOT,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    try:
        return process.wait(wall_s)
    except subprocess.TimeoutExpired:
        return -signal.SIGALRM
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _failure(code: int, stderr: IO[bytes]) -> tuple[str, str]:
    """Return the reason and the message for a child that failed with this exit code."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - STDERR_TAIL_BYTES))
    output = stderr.read().decode(errors="replace")
    log.warning("image_sandbox.failed", code=code, stderr=output)
    if code in (-signal.SIGALRM, -signal.SIGXCPU):
        return TIMED_OUT
    # The kernel's out-of-memory killer uses SIGKILL.
    return OUT_OF_MEMORY if code == -signal.SIGKILL or "MemoryError" in output else UNDECODABLE


def _read_result(folder: Path) -> InspectionResult:
    try:
        image = InspectedImage.from_json(read_result_file(folder)["image"])
        thumbnail = read_bounded(folder / THUMBNAIL_FILE, MAX_THUMBNAIL_BYTES)
        structure = read_structure(thumbnail)
        mask = _read_mask(folder, image)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServiceError(INVALID_RESULT) from error
    if (structure.format, structure.end) != ("WEBP", len(thumbnail)):
        raise ServiceError("Image inspection returned an invalid thumbnail.")
    return InspectionResult(image, thumbnail, mask)


def _read_mask(folder: Path, image: InspectedImage) -> bytes | None:
    """Return the mask that the child has made, if any; raises ValueError if it is not the image."""
    if not (folder / MASK_FILE).exists():
        return None
    mask = read_bounded(folder / MASK_FILE, MAX_IMAGE_BYTES)
    if hashlib.sha256(mask).hexdigest() != image.sha256:
        raise ValueError("the mask is not the image that was inspected")
    return mask


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Return up to ``max_bytes`` of a file that the child wrote; raises OSError."""
    # The child could write to the folder, so the file may be a link or a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(max_bytes)
