"""The hashing of model files: one pass over the bytes for every hash that anybody names, no faster than allowed."""

import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from schemas.library.formats.safetensors import PREFIX_BYTES, FormatError, header_bytes
from schemas.library.scan_records import Kind
from stores.library.index.file_hashes import Unhashed
from stores.library.safe_open import OpenFile, open_within

CHUNK_BYTES = 1024 * 1024
MEGABYTE = 1_000_000
# What the oldest of the hashes looks at.
OLD_BEGIN, OLD_END = 0x100000, 0x110000


class Stopped(Exception):
    """Nobody wants the rest."""


class Changed(Exception):
    """The file is another one than it was when it was begun."""


@dataclass(frozen=True, slots=True)
class Digests:
    """Hashes by their names, in lower-case hex; ``content`` is the same for files with the same tensors."""

    content: str
    found: Mapping[str, str]


class Pace:
    """Lets through so many bytes a second and no more; ``per_second_mb`` 0 lets through all."""

    def __init__(self, per_second_mb: int, wait: Callable[[float], object] = time.sleep) -> None:
        """``wait`` waits so many seconds."""
        self._bytes_per_s = per_second_mb * MEGABYTE
        self._wait = wait
        self._began = time.monotonic()
        self._passed = 0

    def take(self, count: int) -> None:
        """Wait until so many more may pass."""
        if self._bytes_per_s == 0:
            return
        self._passed += count
        ahead_s = self._passed / self._bytes_per_s - (time.monotonic() - self._began)
        if ahead_s > 0:
            self._wait(ahead_s)
        elif ahead_s < -1:
            # What was not used in time is gone: there are no bursts.
            self._began, self._passed = time.monotonic(), 0


def digest(wanted: Unhashed, roots: tuple[Path, ...], pace: Pace, go_on: Callable[[], bool]) -> Digests:
    """The hashes of a file.

    Raises:
        Stopped: ``go_on`` said no.
        Changed: somebody wrote to it meanwhile.
        NotFound, Refused, Unavailable: as ``open_within``.
    """
    with open_within(Path(wanted.root), wanted.path, roots) as file:
        if (file.size_bytes, file.mtime_ns) != (wanted.size_bytes, wanted.mtime_ns):
            raise Changed
        found = _digest(file, _tensors_begin(file, wanted.kind), pace, go_on)
        if not file.unchanged():
            raise Changed
    return found


def _digest(file: OpenFile, tensors_begin: int | None, pace: Pace, go_on: Callable[[], bool]) -> Digests:
    whole, tensors, old, sum_, modern = hashlib.sha256(), hashlib.sha256(), hashlib.sha256(), 0, blake3()
    for place, chunk in _chunks(file, pace, go_on):
        whole.update(chunk)
        modern.update(chunk)
        sum_ = zlib.crc32(chunk, sum_)
        old.update(_within(chunk, place, OLD_BEGIN, OLD_END))
        if tensors_begin is not None:
            tensors.update(_within(chunk, place, tensors_begin, file.size_bytes))
    found = {"SHA256": whole.hexdigest(), "CRC32": f"{sum_:08x}", "BLAKE3": modern.hexdigest()}
    if file.size_bytes > OLD_BEGIN:
        found["AutoV1"] = old.hexdigest()[:8]
    if tensors_begin is None or tensors_begin >= file.size_bytes:
        return Digests(f"sha256:{whole.hexdigest()}", found)
    return Digests(f"tensors:{tensors.hexdigest()}", found | {"AutoV3": tensors.hexdigest()})


def _chunks(file: OpenFile, pace: Pace, go_on: Callable[[], bool]) -> Iterator[tuple[int, bytes]]:
    """The file's bytes from the first on, each chunk with its place; the system need not keep them."""
    place = 0
    while chunk := os.pread(file.fd, CHUNK_BYTES, place):
        if not go_on():
            raise Stopped
        yield place, chunk
        os.posix_fadvise(file.fd, place, len(chunk), os.POSIX_FADV_DONTNEED)
        place += len(chunk)
        pace.take(len(chunk))


def _within(chunk: bytes, place: int, begin: int, end: int) -> memoryview:
    """The part of a chunk that lies between two places of the file."""
    first, last = max(0, begin - place), max(0, min(len(chunk), end - place))
    return memoryview(chunk)[first:last] if first < last else memoryview(b"")


def _tensors_begin(file: OpenFile, kind: Kind) -> int | None:
    """Where the tensors of a safetensors file begin; None if it is none, or its header cannot be."""
    if kind is not Kind.SAFETENSORS:
        return None
    try:
        return PREFIX_BYTES + header_bytes(os.pread(file.fd, PREFIX_BYTES, 0), file.size_bytes)
    except FormatError:
        return None
