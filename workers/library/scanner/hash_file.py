"""The hashing of model files: one pass over the bytes for every hash that anybody names, no faster than allowed."""

import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from schemas.format_error import FormatError
from schemas.library.formats.safetensors import PREFIX_BYTES, parse_header_length
from schemas.library.scan_records import FileFormat
from stores.library.index.file_hashes import PendingFile
from stores.library.safe_open import OpenFile, open_within

CHUNK_BYTES = 1024 * 1024
MEGABYTE = 1_000_000
# What the oldest of the hashes looks at.
AUTOV1_START, AUTOV1_END = 0x100000, 0x110000


class HashingStoppedError(Exception):
    """Nobody wants the rest."""


class FileChangedError(Exception):
    """The file is another one than it was when it was begun."""


@dataclass(frozen=True, slots=True)
class FileHashes:
    """Hashes by their names, in lower-case hex; ``content`` is the same for files with the same tensors."""

    content: str
    hashes: Mapping[str, str]


class ByteRateLimiter:
    """Lets through so many bytes a second and no more; ``per_second_mb`` 0 lets through all."""

    def __init__(self, mb_per_s: int, wait: Callable[[float], object] = time.sleep) -> None:
        """``wait`` waits so many seconds."""
        self._bytes_per_s = mb_per_s * MEGABYTE
        self._wait = wait
        self._began = time.monotonic()
        self._passed = 0

    def consume(self, count: int) -> None:
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


def hash_file(
    pending: PendingFile, roots: tuple[Path, ...], rate_limiter: ByteRateLimiter, may_continue: Callable[[], bool]
) -> FileHashes:
    """The hashes of a file.

    Raises:
        Stopped: ``go_on`` said no.
        Changed: somebody wrote to it meanwhile.
        NotFound, Refused, Unavailable: as ``open_within``.
    """
    with open_within(Path(pending.root), pending.path, roots) as file:
        if (file.size_bytes, file.mtime_ns) != (pending.size_bytes, pending.mtime_ns):
            raise FileChangedError
        found = _hash_contents(file, _tensors_offset(file, pending.kind), rate_limiter, may_continue)
        if not file.is_unchanged():
            raise FileChangedError
    return found


def _hash_contents(
    file: OpenFile, tensors_offset: int | None, rate_limiter: ByteRateLimiter, may_continue: Callable[[], bool]
) -> FileHashes:
    whole, tensors, old, sum_, modern = hashlib.sha256(), hashlib.sha256(), hashlib.sha256(), 0, blake3()
    for place, chunk in _read_chunks(file, rate_limiter, may_continue):
        whole.update(chunk)
        modern.update(chunk)
        sum_ = zlib.crc32(chunk, sum_)
        old.update(_overlap(chunk, place, AUTOV1_START, AUTOV1_END))
        if tensors_offset is not None:
            tensors.update(_overlap(chunk, place, tensors_offset, file.size_bytes))
    found = {"SHA256": whole.hexdigest(), "CRC32": f"{sum_:08x}", "BLAKE3": modern.hexdigest()}
    if file.size_bytes > AUTOV1_START:
        found["AutoV1"] = old.hexdigest()[:8]
    if tensors_offset is None or tensors_offset >= file.size_bytes:
        return FileHashes(f"sha256:{whole.hexdigest()}", found)
    return FileHashes(f"tensors:{tensors.hexdigest()}", found | {"AutoV3": tensors.hexdigest()})


def _read_chunks(
    file: OpenFile, rate_limiter: ByteRateLimiter, may_continue: Callable[[], bool]
) -> Iterator[tuple[int, bytes]]:
    """The file's bytes from the first on, each chunk with its place; the system need not keep them."""
    place = 0
    while chunk := os.pread(file.fd, CHUNK_BYTES, place):
        if not may_continue():
            raise HashingStoppedError
        yield place, chunk
        os.posix_fadvise(file.fd, place, len(chunk), os.POSIX_FADV_DONTNEED)
        place += len(chunk)
        rate_limiter.consume(len(chunk))


def _overlap(chunk: bytes, place: int, begin: int, end: int) -> memoryview:
    """The part of a chunk that lies between two places of the file."""
    first, last = max(0, begin - place), max(0, min(len(chunk), end - place))
    return memoryview(chunk)[first:last] if first < last else memoryview(b"")


def _tensors_offset(file: OpenFile, kind: FileFormat) -> int | None:
    """Where the tensors of a safetensors file begin; None if it is none, or its header cannot be."""
    if kind is not FileFormat.SAFETENSORS:
        return None
    try:
        return PREFIX_BYTES + parse_header_length(os.pread(file.fd, PREFIX_BYTES, 0), file.size_bytes)
    except FormatError:
        return None
