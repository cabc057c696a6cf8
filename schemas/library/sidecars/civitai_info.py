"""``<stem>.civitai.info``: the catalogue's answer to a hash, as the helper for A1111 keeps it. Pure.

It has a version and its model, but not the model's stats and other versions.
"""

from typing import Any

from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, parse_metadata
from schemas.library.sidecars.civitai_writer import build_version, encode_sidecar
from schemas.library.sidecars.json_values import as_object, load_sidecar
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS - {"stats", "versions"}


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """What the catalogue said; nothing where the helper only noted that the catalogue does not know the file.

    Raises:
        SidecarError: it cannot be read at all.
    """
    document = load_sidecar(raw)
    facts = Metadata() if _not_there(document) else parse_metadata(document, local)
    return [] if facts.is_empty else [SourceMetadata(Source.CIVITAI_INFO, SourcePriority.CIVITAI, facts, time_ms)]


def write(facts: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """A file that ``read`` and the helper read."""
    return encode_sidecar(build_version(facts, local))


def _not_there(document: dict[str, Any]) -> bool:
    """Whether it is the mark that the helper leaves: an empty object, or a skeleton made from the file's name."""
    helper = as_object(as_object(document.get("extensions")).get("sd_civitai_helper"))
    return document.get("skeleton_file") is True or helper.get("skeleton_file") is True
