"""What a scan finds: a model file, what it and its companions say, and what is wrong with any of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from schemas.library.metadata import ImageMetadata, SourceMetadata


class FileFormat(StrEnum):
    """What a model file is; a pickle can run code when it is loaded, and is never opened beyond its beginning."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    PICKLE = "pickle"


FORMAT_BY_EXTENSION: Mapping[str, FileFormat] = {
    ".safetensors": FileFormat.SAFETENSORS,
    ".gguf": FileFormat.GGUF,
    ".ckpt": FileFormat.PICKLE,
    ".pt": FileFormat.PICKLE,
    ".bin": FileFormat.PICKLE,
    ".pth": FileFormat.PICKLE,
}


class IndexedFile(NamedTuple):
    """What the library knows of a file on disk, for a scan to compare with; many of them are held at once."""

    id: int
    inode: int
    size_bytes: int
    mtime_ns: int
    companions_stamp: str
    is_missing: bool


@dataclass(frozen=True, slots=True)
class FileOnDisk:
    """A model file on disk. ``path`` is below ``root``; ``companions`` changes whenever a file beside it does."""

    root: str
    path: bytes
    inode: int
    size_bytes: int
    mtime_ns: int
    companions_stamp: str
    companion_names: tuple[bytes, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, as far as it can be shown."""
        return self.path.rpartition(b"/")[2].decode(errors="replace")

    def is_unchanged(self, known: IndexedFile) -> bool:
        """Whether nobody has written to the file since."""
        return (self.size_bytes, self.mtime_ns, self.inode) == (known.size_bytes, known.mtime_ns, known.inode)


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Something wrong with a file: ``subject`` is its path below the root, ``code`` is stable."""

    subject: bytes
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PreviewImage:
    """A picture beside a model. ``slot`` stays the same when both are renamed, ``stamp`` until its bytes change."""

    slot: str
    path: bytes
    metadata: ImageMetadata
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A file with all that is said of it.

    ``layout`` is the same for two files whose tensors have the same names, types and shapes; None where unknown.
    ``header`` holds JSON values. ``moved_from`` is the id of the file that this one was, under another path.
    ``group_key`` is shared by the epochs of one training.
    """

    file: FileOnDisk
    kind: FileFormat
    layout: str | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    source_metadata: tuple[SourceMetadata, ...] = ()
    images: tuple[PreviewImage, ...] = ()
    problems: tuple[FileProblem, ...] = ()
    epoch: int | None = None
    group_key: str | None = None
    moved_from: int | None = None
