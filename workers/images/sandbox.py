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
from schemas.images.inspected_image import Seen
from schemas.images.structure import framing
from workers.images.decode import ANSWER, MOST_GENERATION_BYTES, THUMB, Limits

LIMITS = Limits()
MOST_ANSWER_BYTES = 2 * MOST_GENERATION_BYTES
MOST_THUMB_BYTES = 8 * 1024 * 1024
LAST_WORDS_BYTES = 2000
NONSENSE = "The process that looks at pictures has answered nonsense."
LONGEST_REASON, LONGEST_SENTENCE = 40, 300
# Nothing of ours: no key, no address of a store.
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8"}
TOO_LONG = "took_too_long", "Looking at the picture takes too long."
TOO_MUCH = "too_much_memory", "Looking at the picture needs too much memory."
UNREADABLE = "broken", "The picture is broken: it cannot be decoded."
# Two pictures of the largest size fit into most machines' memory; many do not.
_places = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """A picture that is taken: what it is, and its thumbnail, WebP."""

    seen: Seen
    thumb: bytes = field(repr=False)


def look_at(file: IO[bytes], limits: Limits = LIMITS) -> Look:
    """What is in ``file``, a file of the operating system's; it is read by another process from its beginning.

    Raises:
        Invalid: it is not a picture that is taken; ``details["reason"]`` says why in a word.
    """
    with _places, tempfile.TemporaryDirectory(prefix="look-") as name, tempfile.TemporaryFile() as complaints:
        folder = Path(name)
        file.seek(0)
        code = _run(file, folder, limits, complaints)
        if code != 0:
            reason, sentence = _death(code, complaints)
            raise Invalid(sentence, reason=reason)
        look = _read(folder)
    if look.seen.size_bytes > os.fstat(file.fileno()).st_size:
        raise ServiceError(NONSENSE)
    return look


def _run(file: IO[bytes], folder: Path, limits: Limits, complaints: IO[bytes]) -> int:
    """Its exit code; of what takes too long, that of a process ended by its alarm."""
    command = [sys.executable, "-m", "workers.images.decode", str(folder), json.dumps(asdict(limits))]
    process = subprocess.Popen(
        command,
        stdin=file,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
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


def _death(code: int, complaints: IO[bytes]) -> tuple[str, str]:
    """In a word and a sentence, what the picture has done to the process that ended so."""
    complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
    words = complaints.read().decode(errors="replace")
    log.warning("look.died", code=code, words=words)
    if code in (-signal.SIGALRM, -signal.SIGXCPU):
        return TOO_LONG
    # The kernel ends processes so when memory is short.
    return TOO_MUCH if code == -signal.SIGKILL or "MemoryError" in words else UNREADABLE


def _read(folder: Path) -> Look:
    try:
        answer = json.loads(_bounded(folder / ANSWER, MOST_ANSWER_BYTES))
        if "refused" in answer:
            reason, sentence = str(answer["refused"]["code"]), str(answer["refused"]["message"])
            raise Invalid(sentence[:LONGEST_SENTENCE], reason=reason[:LONGEST_REASON])
        seen, thumb = Seen.from_json(answer["seen"]), _bounded(folder / THUMB, MOST_THUMB_BYTES)
        framed = framing(thumb)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServiceError(NONSENSE) from error
    if (framed.format, framed.end) != ("WEBP", len(thumb)):
        raise ServiceError("The process that looks at pictures has made something else than a thumbnail.")
    return Look(seen, thumb)


def _bounded(path: Path, most_bytes: int) -> bytes:
    # Never where a link leads: the folder was somebody else's to write to.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most_bytes)
