"""``<stem>.civitai.info``: Civitai's response to a hash, as the Civitai Helper for A1111 keeps it.

It has a version and its model, but neither the model's statistics nor its other versions.
"""

from typing import Any

from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, parse_metadata
from schemas.library.sidecars.civitai_writer import build_version, encode_sidecar
from schemas.library.sidecars.json_values import as_object, load_sidecar
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS - {"stats", "versions"}


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """Read a version and its model; empty if the file only records that Civitai does not know the model.

    Raises:
        FormatError: the file cannot be read at all.
    """
    document = load_sidecar(raw)
    metadata = Metadata() if _is_skeleton(document) else parse_metadata(document, local)
    if metadata.is_empty:
        return []
    return [SourceMetadata(Source.CIVITAI_INFO, SourcePriority.CIVITAI, metadata, time_ms)]


def write(metadata: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """Write a file that ``read`` and the helper read."""
    return encode_sidecar(build_version(metadata, local))


def _is_skeleton(document: dict[str, Any]) -> bool:
    """Whether the helper made the document from the file name because Civitai does not know the model."""
    helper = as_object(as_object(document.get("extensions")).get("sd_civitai_helper"))
    return document.get("skeleton_file") is True or helper.get("skeleton_file") is True
