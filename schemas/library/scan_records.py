"""What a scan finds: a model file, what it and its companions say, and what is wrong with any of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from schemas.library.metadata import Claim, SaidImage


class Kind(StrEnum):
    """What a model file is; a pickle can run code when it is loaded, and is never opened beyond its beginning."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    PICKLE = "pickle"


KINDS: Mapping[str, Kind] = {
    ".safetensors": Kind.SAFETENSORS,
    ".gguf": Kind.GGUF,
    ".ckpt": Kind.PICKLE,
    ".pt": Kind.PICKLE,
    ".bin": Kind.PICKLE,
    ".pth": Kind.PICKLE,
}


class Known(NamedTuple):
    """What the library knows of a file on disk, for a scan to compare with; many of them are held at once."""

    id: int
    inode: int
    size_bytes: int
    mtime_ns: int
    companions: str
    missing: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A model file on disk. ``path`` is below ``root``; ``companions`` changes whenever a file beside it does."""

    root: str
    path: bytes
    inode: int
    size_bytes: int
    mtime_ns: int
    companions: str
    beside: tuple[bytes, ...] = ()

    @property
    def name(self) -> str:
        """The file's name, as far as it can be shown."""
        return self.path.rpartition(b"/")[2].decode(errors="replace")

    def same_bytes(self, known: Known) -> bool:
        """Whether nobody has written to the file since."""
        return (self.size_bytes, self.mtime_ns, self.inode) == (known.size_bytes, known.mtime_ns, known.inode)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a file: ``subject`` is its path below the root, ``code`` is stable."""

    subject: bytes
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class SeenImage:
    """A picture beside a model. ``slot`` stays the same when both are renamed, ``stamp`` until its bytes change."""

    slot: str
    path: bytes
    said: SaidImage
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file with all that is said of it.

    ``layout`` is the same for two files whose tensors have the same names, types and shapes; None where unknown.
    ``header`` holds JSON values. ``moved_from`` is the id of the file that this one was, under another path.
    ``group_key`` is shared by the epochs of one training.
    """

    found: Found
    kind: Kind
    layout: str | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    images: tuple[SeenImage, ...] = ()
    problems: tuple[Problem, ...] = ()
    epoch: int | None = None
    group_key: str | None = None
    moved_from: int | None = None
