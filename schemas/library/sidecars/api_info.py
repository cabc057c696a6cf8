"""``<stem>.api_info.json``: the catalogue's whole answer about a model, as a browser for A1111 keeps it. Pure.

It has the model with all its versions.
"""

from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, parse_metadata
from schemas.library.sidecars.civitai_writer import build_model, encode_sidecar
from schemas.library.sidecars.json_values import load_sidecar
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """What the catalogue said of the model, of all versions, and of the one that ``local`` is.

    Raises:
        SidecarError: it cannot be read at all.
    """
    facts = parse_metadata(load_sidecar(raw), local)
    return [] if facts.is_empty else [SourceMetadata(Source.API_INFO, SourcePriority.CIVITAI, facts, time_ms)]


def write(facts: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """A file that ``read`` and the browser read."""
    return encode_sidecar(build_model(facts, local))
