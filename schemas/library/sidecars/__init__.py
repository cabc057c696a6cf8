"""The files that other programs put beside model files: which they are, what they say, how to write them. Pure.

One module a format: ``read(raw, time_ms, local)`` gives claims,
``write(facts, local)`` the bytes, ``FIELDS`` names the fields of ``Facts`` that survive being written and read.

All readers raise ``SidecarError`` for what cannot be read at all; a bad field never costs another one.
"""

from collections.abc import Callable, Iterable, Mapping

from schemas.library.metadata import Metadata, Source, SourceMetadata
from schemas.library.sidecars import a1111, api_info, civitai_info, civitdl, lora_manager, stability_matrix
from schemas.library.sidecars.civitdl import parse_civitdl_ids
from schemas.library.sidecars.json_values import SidecarError
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

__all__ = [
    "SIDECAR_SUFFIXES",
    "SUPPORTED_FIELDS",
    "LocalFile",
    "SidecarError",
    "find_previews",
    "find_sidecars",
    "parse_civitdl_ids",
    "read_sidecar",
    "write_sidecar",
]

# What follows a model's stem in the names of its sidecars.
SIDECAR_SUFFIXES: Mapping[str, Source] = {
    ".civitai.info": Source.CIVITAI_INFO,
    ".metadata.json": Source.LORA_MANAGER,
    ".cm-info.json": Source.STABILITY_MATRIX,
    ".api_info.json": Source.API_INFO,
    ".json": Source.A1111,
}
# Best first: what somebody chose to be the preview before what may be any picture.
PREVIEW_SUFFIXES = (
    *(".preview.png", ".preview.jpg", ".preview.jpeg", ".preview.webp"),
    *(".png", ".jpg", ".jpeg", ".webp", ".gif"),
)
SUPPORTED_FIELDS: Mapping[Source, frozenset[str]] = {
    Source.CIVITDL: civitdl.FIELDS,
    Source.CIVITAI_INFO: civitai_info.FIELDS,
    Source.API_INFO: api_info.FIELDS,
    Source.LORA_MANAGER: lora_manager.FIELDS,
    Source.STABILITY_MATRIX: stability_matrix.FIELDS,
    Source.A1111: a1111.FIELDS,
}
_READERS: Mapping[Source, Callable[[bytes, int, LocalFile], list[SourceMetadata]]] = {
    Source.CIVITDL: civitdl.read,
    Source.CIVITAI_INFO: civitai_info.read,
    Source.API_INFO: api_info.read,
    Source.LORA_MANAGER: lora_manager.read,
    Source.STABILITY_MATRIX: stability_matrix.read,
    Source.A1111: a1111.read,
}
_WRITERS: Mapping[Source, Callable[[Metadata, LocalFile], bytes]] = {
    Source.CIVITDL: civitdl.write,
    Source.CIVITAI_INFO: civitai_info.write,
    Source.API_INFO: api_info.write,
    Source.LORA_MANAGER: lora_manager.write,
    Source.STABILITY_MATRIX: stability_matrix.write,
    Source.A1111: a1111.write,
}


def find_sidecars(stem: str, names: Iterable[str]) -> list[tuple[str, Source]]:
    """Which of the files in a folder are sidecars of the model with that stem, in the order of the endings."""
    found = [(ending, name) for ending, name in _with_endings(stem, names) if ending in SIDECAR_SUFFIXES]
    order = list(SIDECAR_SUFFIXES)
    return [
        (name, SIDECAR_SUFFIXES[ending])
        for ending, name in sorted(found, key=lambda one: (order.index(one[0]), one[1]))
    ]


def find_previews(stem: str, names: Iterable[str]) -> list[str]:
    """Which of the files in a folder are pictures of the model with that stem, best first."""
    found = [(PREVIEW_SUFFIXES.index(end), name) for end, name in _with_endings(stem, names) if end in PREVIEW_SUFFIXES]
    return [name for _, name in sorted(found)]


def read_sidecar(source: Source, raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """What a sidecar says that was written at ``time_ms``, in milliseconds since 1970.

    Raises:
        SidecarError: it cannot be read at all.
        KeyError: the source has no files of its own.
    """
    return _READERS[source](raw, time_ms, local)


def write_sidecar(source: Source, facts: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """A sidecar that says those of the facts that the format has room for: ``FIELDS`` has their names.

    Raises:
        KeyError: the source has no files of its own.
    """
    return _WRITERS[source](facts, local)


def _with_endings(stem: str, names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name[len(stem) :].lower(), name) for name in names if name.startswith(stem)]
