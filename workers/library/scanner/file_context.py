"""What is gathered of one model file while it is read: the files beside it, opened safely, and what is wrong."""

import io
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import ServiceError
from schemas.library.metadata import SourceMetadata
from schemas.library.scan_records import FileOnDisk, FileProblem, PreviewImage
from schemas.library.sidecars import LocalFile
from stores.library.safe_open import OpenFile, open_within

MAX_SIDECAR_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class FileContext:
    """What has been gathered of one file so far."""

    file: FileOnDisk
    roots: Sequence[Path]
    folder: bytes
    local: LocalFile
    header: dict[str, Any] = field(default_factory=dict)
    layout: str | None = None
    source_metadata: list[SourceMetadata] = field(default_factory=list)
    images: list[PreviewImage] = field(default_factory=list)
    problems: list[FileProblem] = field(default_factory=list)

    def sibling_path(self, name: str) -> bytes:
        """A file beside the model, by its path below the root."""
        folder = self.file.path.rpartition(b"/")[0]
        return (folder + b"/" if folder else b"") + os.fsencode(name)

    def open(self, path: bytes) -> OpenFile:
        """A file below the root, which is not outside the library even if somebody swaps links meanwhile.

        Raises:
            NotFound, Refused, Unavailable: as ``open_within``.
        """
        return open_within(Path(self.file.root), path, self.roots)

    def report_problem(self, subject: bytes, code: str, message: str) -> None:
        """Something is wrong."""
        self.problems.append(FileProblem(subject, code, message[:500]))

    def read_sibling(self, name: str) -> tuple[bytes, int] | None:
        """The bytes of a file beside the model, and when it was written."""
        try:
            with self.open(self.sibling_path(name)) as opened, io.BufferedReader(opened.file) as file:
                if opened.size_bytes > MAX_SIDECAR_BYTES:
                    self.report_problem(
                        self.sibling_path(name), "too_large", f"It has {opened.size_bytes} bytes; not read."
                    )
                    return None
                return file.read(MAX_SIDECAR_BYTES), opened.mtime_ns // 1_000_000
        except ServiceError as error:
            self.report_problem(self.sibling_path(name), "unreadable", error.message)
            return None
        except OSError as error:
            self.report_problem(self.sibling_path(name), "unreadable", f"It cannot be read: {error.strerror}.")
            return None

    def sibling_stamp(self, name: str) -> str | None:
        """What changes with a picture's bytes; None if it is no regular file, or a link out of the library."""
        try:
            about = os.lstat(os.path.join(self.folder, os.fsencode(name)))
            if stat.S_ISLNK(about.st_mode):
                with self.open(self.sibling_path(name)) as opened:
                    return f"{opened.size_bytes}-{opened.mtime_ns}"
        except (OSError, ServiceError):
            return None
        return f"{about.st_size}-{about.st_mtime_ns}" if stat.S_ISREG(about.st_mode) else None
