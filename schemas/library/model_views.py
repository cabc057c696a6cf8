"""What is shown of the library: models in lists, a model whole, its versions, files and pictures. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.library.metadata import Metadata


@dataclass(frozen=True, slots=True)
class FileView:
    """A file on disk. ``path`` is below ``root``; ``hashes`` is empty until it was read; None where it has gone."""

    id: int
    name: str
    root: str
    path: bytes | None
    kind: str
    size_bytes: int
    mtime_ns: int
    inode: int
    header: Mapping[str, Any]
    hashes: Mapping[str, str]
    hashed: bool
    present: bool
    problem: str | None

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class ImageView:
    """A picture of a model: one that lies beside it (``path``), or one that was given (``media_key``)."""

    id: int
    model_id: int
    version_id: int | None
    given: bool
    root: str | None
    path: bytes | None
    media_key: str | None
    thumb_key: str | None
    media_type: str | None
    width: int | None
    height: int | None
    nsfw_level: int
    blurhash: str | None
    prompt: str | None
    params: Mapping[str, Any]
    sort_order: int
    created_at: int
    job_id: str | None


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version, here or not, with its files and pictures."""

    id: int
    civitai_id: int | None
    facts: Metadata
    epoch: int | None
    files: tuple[FileView, ...] = ()
    images: tuple[ImageView, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether it has a file that is there."""
        return any(file.present for file in self.files)


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model. ``versions`` is empty where it was not asked for; ``sources`` says who has said each field."""

    id: int
    name: str
    type: str
    category: str
    subcategory: str | None
    base_model: str | None
    nsfw_level: int
    civitai_id: int | None
    flags: int
    newest_at: int
    size_bytes: int
    facts: Metadata
    sources: Mapping[str, str]
    hero: ImageView | None = None
    versions: tuple[VersionView, ...] = ()
    images: tuple[ImageView, ...] = field(default=())
    edited: Mapping[str, int] = field(default_factory=dict)
