"""Views of the library: models in lists and in detail, with versions, files and images.

The field names are part of the output of ``./darkroom library show``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.library.metadata import Metadata

# Videos are shown as they are; nothing here makes a picture of one.
VIDEO_EXTENSIONS = (".mp4", ".webm")


def is_video(path: bytes | None) -> bool:
    """Whether the file of an image at this path is a video, by its name."""
    return path is not None and path.lower().endswith(tuple(extension.encode() for extension in VIDEO_EXTENSIONS))


@dataclass(frozen=True, slots=True)
class FileView:
    """A file. ``path`` is relative to ``root``; None if the file is gone; ``hashes`` is empty until it is hashed."""

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
    is_hashed: bool
    is_present: bool
    problem: str | None

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class ImageView:
    """An image of a model: a file beside it (``path``) or an upload (``media_key``, and ``is_user_image`` is true)."""

    id: int
    model_id: int
    version_id: int | None
    is_user_image: bool
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
    """A version, with local files or only listed by Civitai."""

    id: int
    civitai_id: int | None
    metadata: Metadata
    epoch: int | None
    files: tuple[FileView, ...] = ()
    images: tuple[ImageView, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether it has a file on disk."""
        return any(file.is_present for file in self.files)


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model. ``sources`` has the source of each field, ``edited_at`` the time (ms) of each user edit.

    ``versions`` and ``images`` are empty in lists.
    """

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
    metadata: Metadata
    sources: Mapping[str, str]
    hero: ImageView | None = None
    versions: tuple[VersionView, ...] = ()
    images: tuple[ImageView, ...] = field(default=())
    edited_at: Mapping[str, int] = field(default_factory=dict)

    @property
    def present_stems(self) -> list[str]:
        """The stems of the files on disk, those of the newest version first; only with ``versions``."""
        return [file.stem for version in self.versions for file in version.files if file.is_present]
