"""Hashing of model files: one pass over the bytes computes every hash that other programs use.

Reading is throttled, and the pages read are dropped from the page cache, so that hashing a library of terabytes does
not disturb programs that load models.
"""

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
# A1111's first hash covers only these 64 KiB.
AUTOV1_START, AUTOV1_END = 0x100000, 0x110000


class HashingStoppedError(Exception):
    """``may_continue`` returned False."""


class FileChangedError(Exception):
    """The file is not the one in the index, or was written to while it was read."""


@dataclass(frozen=True, slots=True)
class FileHashes:
    """Hashes by name, in lower-case hex.

    ``content`` is equal for files with the same tensors; None if these are zeros only, as in a file that a download
    has reserved and not filled yet.
    """

    content: str | None
    hashes: Mapping[str, str]


class ByteRateLimiter:
    """Limits a stream of bytes to ``mb_per_s`` without bursts; 0 means unlimited. ``wait`` sleeps some seconds."""

    def __init__(self, mb_per_s: int, wait: Callable[[float], object] = time.sleep) -> None:
        self._bytes_per_s = mb_per_s * MEGABYTE
        self._wait = wait
        self._started = time.monotonic()
        self._passed = 0

    def consume(self, count: int) -> None:
        """Count these bytes, and wait if they are ahead of the rate."""
        if self._bytes_per_s == 0:
            return
        self._passed += count
        ahead_s = self._passed / self._bytes_per_s - (time.monotonic() - self._started)
        if ahead_s > 0:
            self._wait(ahead_s)
        elif ahead_s < -1:
            # Start again after a pause, so that unused time is not made up for by a burst.
            self._started, self._passed = time.monotonic(), 0


def hash_file(
    pending: PendingFile, roots: tuple[Path, ...], rate_limiter: ByteRateLimiter, may_continue: Callable[[], bool]
) -> FileHashes:
    """Hash a file in chunks of CHUNK_BYTES; ``may_continue`` is called between them.

    Raises:
        HashingStoppedError: ``may_continue`` returned False.
        FileChangedError: the file has changed since it was indexed, or changed while it was read.
        NotFound, PathNotAllowed, Unavailable: as ``open_within``.
    """
    with open_within(Path(pending.root), pending.path, roots) as file:
        if (file.size_bytes, file.mtime_ns) != (pending.size_bytes, pending.mtime_ns):
            raise FileChangedError
        result = _hash_contents(file, _tensors_offset(file, pending.kind), rate_limiter, may_continue)
        if not file.is_unchanged():
            raise FileChangedError
    return result


def _hash_contents(
    file: OpenFile, tensors_offset: int | None, rate_limiter: ByteRateLimiter, may_continue: Callable[[], bool]
) -> FileHashes:
    sha256, tensors, autov1, crc32, blake = hashlib.sha256(), hashlib.sha256(), hashlib.sha256(), 0, blake3()
    is_zeros = True
    for offset, chunk in _read_chunks(file, rate_limiter, may_continue):
        sha256.update(chunk)
        blake.update(chunk)
        crc32 = zlib.crc32(chunk, crc32)
        autov1.update(_overlap(chunk, offset, AUTOV1_START, AUTOV1_END))
        if tensors_offset is not None:
            data = _overlap(chunk, offset, tensors_offset, file.size_bytes)
            tensors.update(data)
            is_zeros = is_zeros and not any(data)
    hashes = {"SHA256": sha256.hexdigest(), "CRC32": f"{crc32:08x}", "BLAKE3": blake.hexdigest()}
    if file.size_bytes > AUTOV1_START:
        hashes["AutoV1"] = autov1.hexdigest()[:8]
    if tensors_offset is None or tensors_offset >= file.size_bytes:
        return FileHashes(f"sha256:{sha256.hexdigest()}", hashes)
    content = None if is_zeros else f"tensors:{tensors.hexdigest()}"
    return FileHashes(content, hashes | {"AutoV3": tensors.hexdigest()})


def _read_chunks(
    file: OpenFile, rate_limiter: ByteRateLimiter, may_continue: Callable[[], bool]
) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while chunk := os.pread(file.fd, CHUNK_BYTES, offset):
        if not may_continue():
            raise HashingStoppedError
        yield offset, chunk
        os.posix_fadvise(file.fd, offset, len(chunk), os.POSIX_FADV_DONTNEED)
        offset += len(chunk)
        rate_limiter.consume(len(chunk))


def _overlap(chunk: bytes, offset: int, start: int, end: int) -> memoryview:
    """Return the part of the chunk at ``offset`` that lies between two offsets of the file."""
    first, last = max(0, start - offset), max(0, min(len(chunk), end - offset))
    return memoryview(chunk)[first:last] if first < last else memoryview(b"")


def _tensors_offset(file: OpenFile, kind: FileFormat) -> int | None:
    """Return where a safetensors file's tensors begin; None for other formats and invalid headers."""
    if kind is not FileFormat.SAFETENSORS:
        return None
    try:
        return PREFIX_BYTES + parse_header_length(os.pread(file.fd, PREFIX_BYTES, 0), file.size_bytes)
    except FormatError:
        return None
