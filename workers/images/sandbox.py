"""The process that looks at a picture: starts it with nothing at hand, ends it in time, believes it nothing."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import structlog

from ops.infra.settings import ROOT
from schemas.errors import Invalid, ServiceError
from schemas.images.inspected_image import InspectedImage
from schemas.images.structure import read_structure
from workers.images.decode import MAX_GENERATION_BYTES, RESULT_FILE, THUMBNAIL_FILE, DecodeLimits

DEFAULT_LIMITS = DecodeLimits()
MAX_RESULT_BYTES = 2 * MAX_GENERATION_BYTES
MAX_THUMBNAIL_BYTES = 8 * 1024 * 1024
STDERR_TAIL_BYTES = 2000
INVALID_RESULT = "The process that looks at pictures has answered nonsense."
MAX_REASON_CHARS, MAX_MESSAGE_CHARS = 40, 300
# Nothing of ours: no key, no address of a store.
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8"}
TIMED_OUT = "took_too_long", "Looking at the picture takes too long."
OUT_OF_MEMORY = "too_much_memory", "Looking at the picture needs too much memory."
UNDECODABLE = "broken", "The picture is broken: it cannot be decoded."
# Two pictures of the largest size fit into most machines' memory; many do not.
_slots = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InspectionResult:
    """A picture that is taken: what it is, and its thumbnail, WebP."""

    image: InspectedImage
    thumbnail: bytes = field(repr=False)


def inspect_in_sandbox(file: IO[bytes], limits: DecodeLimits = DEFAULT_LIMITS) -> InspectionResult:
    """What is in ``file``, a file of the operating system's; it is read by another process from its beginning.

    Raises:
        Invalid: it is not a picture that is taken; ``details["reason"]`` says why in a word.
    """
    with _slots, tempfile.TemporaryDirectory(prefix="look-") as name, tempfile.TemporaryFile() as complaints:
        folder = Path(name)
        file.seek(0)
        code = _run_child(file, folder, limits, complaints)
        if code != 0:
            reason, sentence = _failure(code, complaints)
            raise Invalid(sentence, reason=reason)
        look = _read_result(folder)
    if look.image.size_bytes > os.fstat(file.fileno()).st_size:
        raise ServiceError(INVALID_RESULT)
    return look


def _run_child(file: IO[bytes], folder: Path, limits: DecodeLimits, stderr: IO[bytes]) -> int:
    """Its exit code; of what takes too long, that of a process ended by its alarm."""
    command = [sys.executable, "-m", "workers.images.decode", str(folder), json.dumps(asdict(limits))]
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
        return process.wait(limits.wall_s)
    except subprocess.TimeoutExpired:
        return -signal.SIGALRM
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _failure(code: int, stderr: IO[bytes]) -> tuple[str, str]:
    """In a word and a sentence, what the picture has done to the process that ended so."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - STDERR_TAIL_BYTES))
    words = stderr.read().decode(errors="replace")
    log.warning("look.died", code=code, words=words)
    if code in (-signal.SIGALRM, -signal.SIGXCPU):
        return TIMED_OUT
    # The kernel ends processes so when memory is short.
    return OUT_OF_MEMORY if code == -signal.SIGKILL or "MemoryError" in words else UNDECODABLE


def _read_result(folder: Path) -> InspectionResult:
    try:
        answer = json.loads(_read_bounded(folder / RESULT_FILE, MAX_RESULT_BYTES))
        if "refused" in answer:
            reason, sentence = str(answer["refused"]["code"]), str(answer["refused"]["message"])
            raise Invalid(sentence[:MAX_MESSAGE_CHARS], reason=reason[:MAX_REASON_CHARS])
        seen, thumb = (
            InspectedImage.from_json(answer["seen"]),
            _read_bounded(folder / THUMBNAIL_FILE, MAX_THUMBNAIL_BYTES),
        )
        framed = read_structure(thumb)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServiceError(INVALID_RESULT) from error
    if (framed.format, framed.end) != ("WEBP", len(thumb)):
        raise ServiceError("The process that looks at pictures has made something else than a thumbnail.")
    return InspectionResult(seen, thumb)


def _read_bounded(path: Path, max_bytes: int) -> bytes:
    # Never where a link leads: the folder was somebody else's to write to.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(max_bytes)
