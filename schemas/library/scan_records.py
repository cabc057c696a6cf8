"""The records of a scan: a model file, the metadata of its sources, its previews, and problems found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from schemas.library.metadata import ImageMetadata, SourceMetadata
from schemas.library.model_parts import ModelPart

# How the slots of images begin: of one beside the model its suffix follows, of one in a civitdl folder its name.
PREVIEW_SLOT, CIVITDL_SLOT = "preview", "civitdl/"
UNREADABLE = "unreadable"
# Used as the stamp of a file that could not be opened: it is tried again at every scan, because neither size nor time
# changes with access rights.
UNREAD_STAMP = "unread"


class FileFormat(StrEnum):
    """The format of a model file. A pickle can run code when loaded; only its first bytes are ever read."""

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
    """A file as the index knows it, for comparison with the disk; a tuple because a scan holds all of them."""

    id: int
    inode: int
    size_bytes: int
    mtime_ns: int
    companions_stamp: str
    is_missing: bool


@dataclass(frozen=True, slots=True)
class FileOnDisk:
    """A model file on disk. ``path`` is relative to ``root``; both may contain bytes that are not UTF-8.

    ``companions_stamp`` changes whenever a sidecar or preview beside the file does, and with the version of the
    readers. ``part`` is what the file is a part of; None if it is a model of its own.
    """

    root: str
    path: bytes
    inode: int
    size_bytes: int
    mtime_ns: int
    companions_stamp: str
    companion_names: tuple[bytes, ...] = ()
    part: ModelPart | None = None

    @property
    def name(self) -> str:
        """The file's name; undecodable bytes are replaced."""
        return self.path.rpartition(b"/")[2].decode(errors="replace")

    def is_unchanged(self, indexed: IndexedFile) -> bool:
        """Whether size, modification time and inode are those in the index."""
        return (self.size_bytes, self.mtime_ns, self.inode) == (indexed.size_bytes, indexed.mtime_ns, indexed.inode)


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A problem with a file. ``subject`` is its path relative to the root; ``code`` is stable."""

    subject: bytes
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class PreviewImage:
    """An image beside a model.

    ``slot`` identifies it and survives a rename of both; ``stamp`` changes with its bytes.
    """

    slot: str
    path: bytes
    metadata: ImageMetadata
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A model file with everything a scan found out about it.

    ``layout`` is equal for files whose tensors have the same names, types and shapes; None if unknown. ``header`` holds
    JSON values. ``group_key`` is shared by the epochs of one training, and by the files of a model of several files.
    ``moved_from`` is the id of the indexed file that was moved to this path.
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
