"""What is said of a model file, by whom, and who is believed. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import Any, Self

from schemas.fields import to_camel_case, to_snake_case


class Source(StrEnum):
    """Where something is said."""

    FILE_NAME = "file_name"
    HEADER = "header"
    CIVITDL = "civitdl"
    CIVITAI_INFO = "civitai_info"
    API_INFO = "api_info"
    LORA_MANAGER = "lora_manager"
    STABILITY_MATRIX = "stability_matrix"
    A1111 = "a1111"
    USER = "user"


class SourcePriority(IntEnum):
    """Who is believed: the higher. Of two of the same rank the newer one is."""

    GUESS = 0
    HEADER = 1
    CIVITAI = 2
    PERSON = 3
    USER = 4


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """A picture that a source names: the name of a file beside the model, what it shows, how it was made.

    ``params`` are generation parameters under the names of ``schemas.images.generation_params``. ``url`` is where the
    catalogue has it: kept for those whom it is exported to, and never fetched.
    """

    file: str
    width: int | None = None
    height: int | None = None
    nsfw_level: int = 0
    blurhash: str | None = None
    prompt: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    url: str | None = None


@dataclass(frozen=True, slots=True)
class CivitaiFile:
    """A file of a version, as a catalogue lists it."""

    name: str
    size_kb: float | None = None
    format: str | None = None
    precision: str | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CivitaiVersion:
    """A version of a model that a catalogue lists, here or not; ``id`` is the catalogue's."""

    id: int
    name: str = ""
    base_model: str | None = None
    description: str | None = None
    published_at: str | None = None
    trained_words: tuple[str, ...] = ()
    stats: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[CivitaiFile, ...] = ()
    nsfw_level: int = 0


@dataclass(frozen=True, slots=True)
class Metadata:
    """What one source says of a file, its version and its model; None and empty where it says nothing.

    Texts are as they were written: descriptions may be HTML or Markdown of strangers. ``published_at`` is ISO 8601.
    ``hashes`` are claims, by their names in ``schemas.library.formats.hashes``. ``licensing`` has the catalogue's
    names.
    """

    # Of the model.
    name: str | None = None
    type: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    creator: str | None = None
    creator_avatar: str | None = None
    nsfw_level: int | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)
    licensing: Mapping[str, Any] = field(default_factory=dict)
    civitai_id: int | None = None
    notes: str | None = None
    # Of this version of it.
    version_name: str | None = None
    base_model: str | None = None
    version_description: str | None = None
    version_stats: Mapping[str, Any] = field(default_factory=dict)
    published_at: str | None = None
    trained_words: tuple[str, ...] = ()
    negative_words: str | None = None
    preferred_weight: float | None = None
    civitai_version_id: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    images: tuple[ImageMetadata, ...] = ()
    # All versions that the catalogue knew when it was asked.
    versions: tuple[CivitaiVersion, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is said."""
        return self == Metadata()

    def to_json(self) -> dict[str, Any]:
        """What is said, and nothing of what is not, under the names of the wire."""
        return _to_json(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """As ``to_json`` wrote it."""
        own = {to_snake_case(name): value for name, value in kept.items()}
        for name in ("tags", "trained_words"):
            own[name] = tuple(own.get(name, ()))
        own["images"] = tuple(ImageMetadata(**_snaked(one)) for one in own.get("images", ()))
        own["versions"] = tuple(_version(one) for one in own.get("versions", ()))
        return cls(**own)


@dataclass(frozen=True, slots=True)
class SourceMetadata:
    """What a source says. ``time_ms`` is when it was written, in milliseconds since 1970; 0 if nobody knows."""

    source: Source
    priority: SourcePriority
    metadata: Metadata
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class MergedMetadata:
    """What is believed, and of each field who has said it."""

    metadata: Metadata
    sources: Mapping[str, Source]


def merge_metadata(claims: Iterable[SourceMetadata]) -> MergedMetadata:
    """Each field as the most believable of those says it who say something of it."""
    ordered = sorted(claims, key=lambda claim: (claim.priority, claim.time_ms), reverse=True)
    believed: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for claim in ordered:
        for name in _FIELDS:
            value = getattr(claim.metadata, name)
            if name not in believed and value not in _NOTHING:
                believed[name], sources[name] = value, claim.source
    return MergedMetadata(Metadata(**believed), sources)


_FIELDS = tuple(one.name for one in fields(Metadata))
_NOTHING: tuple[Any, ...] = (None, (), {}, "")


def _to_json(said: Any) -> dict[str, Any]:
    found = {}
    for one in fields(said):
        value = getattr(said, one.name)
        if value in _NOTHING:
            continue
        nested = isinstance(value, tuple) and value and not isinstance(value[0], str)
        found[to_camel_case(one.name)] = [_to_json(part) for part in value] if nested else _plain(value)
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def _version(kept: Mapping[str, Any]) -> CivitaiVersion:
    own = _snaked(kept)
    own["files"] = tuple(CivitaiFile(**_snaked(one)) for one in own.get("files", ()))
    own["trained_words"] = tuple(own.get("trained_words", ()))
    return CivitaiVersion(**own)


def _snaked(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {to_snake_case(name): value for name, value in kept.items()}
