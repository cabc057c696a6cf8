"""State collected while one model file is read, and safe access to the files next to it."""

import contextlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import NotFound, ServiceError
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.scan_records import UNREADABLE, FileOnDisk, FileProblem, PreviewImage
from schemas.library.sidecars import LocalFile
from stores.library.safe_open import OpenFile, open_within

MAX_SIDECAR_BYTES = 8 * 1024 * 1024
MAX_MESSAGE_CHARS = 500


@dataclass(slots=True)
class FileContext:
    """Everything found out about one file so far. ``folder`` is the absolute path of its folder."""

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
        """Return the path of a file beside the model, relative to the root."""
        folder = self.file.path.rpartition(b"/")[0]
        return (folder + b"/" if folder else b"") + os.fsencode(name)

    def open(self, path: bytes) -> OpenFile:
        """Open a file below the root; raise as ``open_within`` does, also if links change meanwhile."""
        return open_within(Path(self.file.root), path, self.roots)

    def add_metadata(self, source: Source, priority: SourcePriority, metadata: Metadata) -> None:
        """Add metadata that has the file's own modification time."""
        self.source_metadata.append(SourceMetadata(source, priority, metadata, self.local.time_ms))

    def report_problem(self, subject: bytes, code: str, message: str) -> None:
        """Add a problem with the file at the path ``subject``, for the report."""
        self.problems.append(FileProblem(subject, code, message[:MAX_MESSAGE_CHARS]))

    def read_sibling(self, name: str) -> tuple[bytes, int] | None:
        """Return the content and the modification time (ms) of a file beside the model; None after a problem."""
        path = self.sibling_path(name)
        try:
            with self.open(path) as opened, io.BufferedReader(opened.file) as file:
                if opened.size_bytes > MAX_SIDECAR_BYTES:
                    message = f"The file has {opened.size_bytes} bytes; at most {MAX_SIDECAR_BYTES} are read."
                    self.report_problem(path, "too_large", message)
                    return None
                return file.read(MAX_SIDECAR_BYTES), opened.mtime_ns // 1_000_000
        except ServiceError as error:
            self.report_problem(path, UNREADABLE, error.message)
            return None
        except OSError as error:
            self.report_problem(path, UNREADABLE, f"The file cannot be read: {error.strerror}.")
            return None

    def sibling_stamp(self, name: str) -> str | None:
        """Return a stamp that changes with an image's content.

        None if it is not a regular file, or a link that leads out of the library. One that cannot be opened has a
        stamp, so that it stays an image of the model, and is a problem.
        """
        path = self.sibling_path(name)
        try:
            with self.open(path) as opened:
                return f"{opened.size_bytes}-{opened.mtime_ns}"
        except NotFound:
            return None
        except ServiceError as error:
            if not isinstance(error.__cause__, OSError):
                return None
            self.report_problem(path, UNREADABLE, error.message)
        with contextlib.suppress(OSError):
            status = os.stat(os.path.join(self.folder, os.fsencode(name)))
            return f"{status.st_size}-{status.st_mtime_ns}"
        return None
