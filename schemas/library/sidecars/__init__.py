"""Sidecars: files that other programs put beside model files. Finds, reads and writes them.

Each format is a module with ``read(raw, time_ms, local)``, ``write(metadata, local)`` and ``FIELDS``, the fields of
``Metadata`` that survive writing and reading. Readers raise FormatError if a file cannot be read at all; an invalid
field costs no other.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from schemas.library.metadata import Metadata, Source, SourceMetadata
from schemas.library.model_views import VIDEO_EXTENSIONS
from schemas.library.sidecars import a1111, api_info, civitai_info, civitdl, lora_manager, stability_matrix
from schemas.library.sidecars.civitdl import parse_civitdl_ids
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile
from schemas.library.text_normalization import fold_file_name

__all__ = [
    "PREVIEW_EXTENSIONS",
    "PREVIEW_SUFFIXES",
    "SIDECAR_SUFFIXES",
    "SUPPORTED_FIELDS",
    "LocalFile",
    "civitdl",
    "find_previews",
    "find_sidecars",
    "parse_civitdl_ids",
    "read_sidecar",
    "write_sidecar",
]


class _Format(NamedTuple):
    """A sidecar format. ``suffix`` follows the model's stem; None for civitdl, which has a folder instead."""

    suffix: str | None
    read: Callable[[bytes, int, LocalFile], list[SourceMetadata]]
    write: Callable[[Metadata, LocalFile], bytes]
    fields: frozenset[str]


_FORMATS: Mapping[Source, _Format] = {
    Source.CIVITDL: _Format(None, civitdl.read, civitdl.write, civitdl.FIELDS),
    Source.CIVITAI_INFO: _Format(".civitai.info", civitai_info.read, civitai_info.write, civitai_info.FIELDS),
    Source.LORA_MANAGER: _Format(".metadata.json", lora_manager.read, lora_manager.write, lora_manager.FIELDS),
    Source.STABILITY_MATRIX: _Format(
        ".cm-info.json", stability_matrix.read, stability_matrix.write, stability_matrix.FIELDS
    ),
    Source.API_INFO: _Format(".api_info.json", api_info.read, api_info.write, api_info.FIELDS),
    # ".json" is the end of other suffixes too; suffixes are compared whole, so the order does not matter.
    Source.A1111: _Format(".json", a1111.read, a1111.write, a1111.FIELDS),
}
SIDECAR_SUFFIXES: Mapping[str, Source] = {form.suffix: source for source, form in _FORMATS.items() if form.suffix}
SUPPORTED_FIELDS: Mapping[Source, frozenset[str]] = {source: form.fields for source, form in _FORMATS.items()}
# Of the formats that ``schemas.images.formats`` knows, in the order of preference among images of the same time.
PREVIEW_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", *VIDEO_EXTENSIONS)
PREVIEW_SUFFIXES = (*(f".preview{extension}" for extension in PREVIEW_EXTENSIONS), *PREVIEW_EXTENSIONS)


def find_sidecars(stem: str, names: Iterable[str]) -> list[tuple[str, Source]]:
    """Return the sidecars of the model with that stem among the files of its folder, ordered by format."""
    order = list(SIDECAR_SUFFIXES)
    found = [(order.index(suffix), name) for suffix, name in _suffixes(stem, names) if suffix in SIDECAR_SUFFIXES]
    return [(name, SIDECAR_SUFFIXES[order[index]]) for index, name in sorted(found)]


def find_previews(stem: str, names: Iterable[str]) -> list[str]:
    """Return the images of the model with that stem among the files of its folder, best first."""
    found = [
        (PREVIEW_SUFFIXES.index(suffix), name) for suffix, name in _suffixes(stem, names) if suffix in PREVIEW_SUFFIXES
    ]
    return [name for _, name in sorted(found)]


def read_sidecar(source: Source, raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """Read a sidecar that was written at ``time_ms``, in milliseconds since 1970.

    Raises:
        FormatError: the file cannot be read at all.
        KeyError: the source has no sidecars.
    """
    return _FORMATS[source].read(raw, time_ms, local)


def write_sidecar(source: Source, metadata: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """Write the fields that the format supports; ``SUPPORTED_FIELDS`` names them.

    Raises:
        KeyError: the source has no sidecars.
    """
    return _FORMATS[source].write(metadata, local)


def _suffixes(stem: str, names: Iterable[str]) -> list[tuple[str, str]]:
    folded = fold_file_name(stem)
    return [
        (name_folded.removeprefix(folded), name)
        for name in names
        if (name_folded := fold_file_name(name)).startswith(folded)
    ]
