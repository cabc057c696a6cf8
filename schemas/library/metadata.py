"""Metadata of model files: its sources, their priority, and merging."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import Any, Self

from schemas.fields import to_camel_case, to_snake_case


class Source(StrEnum):
    """The kinds of metadata sources."""

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
    """The precedence of metadata: the higher wins; of two with the same priority, the newer.

    ``PERSON`` is what people wrote with other programs, ``USER`` what they wrote here.
    """

    GUESS = 0
    HEADER = 1
    CIVITAI = 2
    PERSON = 3
    USER = 4


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """An image of a model, as a source describes it. ``file`` is the name of a file beside the model.

    ``params`` holds generation parameters under the field names of ``schemas.images.generation_params``. ``url`` is the
    image's address at Civitai; it is kept for exports and never fetched.
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
    """A file of a version, as Civitai lists it."""

    name: str
    size_kb: float | None = None
    format: str | None = None
    precision: str | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CivitaiVersion:
    """A version of a model, as Civitai lists it, whether it has a local file or not."""

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
    """The metadata of a file, its version and its model; None and empty for missing fields.

    Texts are unsanitized: descriptions may be untrusted HTML or Markdown. ``published_at`` is ISO 8601. ``hashes`` are
    claims, by algorithm as in ``schemas.library.formats.hashes``. ``stats`` and ``licensing`` use Civitai's names.
    """

    # The model.
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
    # The version that the file belongs to.
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
    # All versions of the model.
    versions: tuple[CivitaiVersion, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return self == Metadata()

    def to_json(self) -> dict[str, Any]:
        """Return the known fields under camel case names."""
        return _to_json(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_json`` returned."""
        values = _to_snake_keys(document)
        for name in ("tags", "trained_words"):
            values[name] = tuple(values.get(name, ()))
        values["images"] = tuple(ImageMetadata(**_to_snake_keys(image)) for image in values.get("images", ()))
        values["versions"] = tuple(_version_from_json(version) for version in values.get("versions", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class SourceMetadata:
    """The metadata of one source. ``time_ms`` is when it was written, in milliseconds since 1970; 0 if unknown."""

    source: Source
    priority: SourcePriority
    metadata: Metadata
    time_ms: int = 0


@dataclass(frozen=True, slots=True)
class MergedMetadata:
    """The metadata of several sources in one, and the source of each field."""

    metadata: Metadata
    sources: Mapping[str, Source]


def merge_metadata(sources: Iterable[SourceMetadata]) -> MergedMetadata:
    """Take each field from the source of the highest priority that has a value; of equal ones, from the newest."""
    values: dict[str, Any] = {}
    source_of: dict[str, Source] = {}
    for source in sorted(sources, key=lambda source: (source.priority, source.time_ms), reverse=True):
        for name in _FIELD_NAMES:
            value = getattr(source.metadata, name)
            if name not in values and value not in _EMPTY_VALUES:
                values[name], source_of[name] = value, source.source
    return MergedMetadata(Metadata(**values), source_of)


_FIELD_NAMES = tuple(column.name for column in fields(Metadata))
_EMPTY_VALUES: tuple[Any, ...] = (None, (), {}, "")


def _to_json(record: Any) -> dict[str, Any]:
    document = {}
    for column in fields(record):
        value = getattr(record, column.name)
        if value in _EMPTY_VALUES:
            continue
        if isinstance(value, tuple):
            value = [item if isinstance(item, str) else _to_json(item) for item in value]
        document[to_camel_case(column.name)] = dict(value) if isinstance(value, Mapping) else value
    return document


def _version_from_json(document: Mapping[str, Any]) -> CivitaiVersion:
    values = _to_snake_keys(document)
    values["files"] = tuple(CivitaiFile(**_to_snake_keys(file)) for file in values.get("files", ()))
    values["trained_words"] = tuple(values.get("trained_words", ()))
    return CivitaiVersion(**values)


def _to_snake_keys(document: Mapping[str, Any]) -> dict[str, Any]:
    return {to_snake_case(name): value for name, value in document.items()}
