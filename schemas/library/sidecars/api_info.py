"""``<stem>.api_info.json``: Civitai's response about a model with all its versions, as a browser for A1111 keeps it."""

from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, parse_metadata
from schemas.library.sidecars.civitai_writer import build_model, encode_sidecar
from schemas.library.sidecars.json_values import load_sidecar
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """Read the model, all its versions, and the version that ``local`` is.

    Raises:
        FormatError: the file cannot be read at all.
    """
    metadata = parse_metadata(load_sidecar(raw), local)
    if metadata.is_empty:
        return []
    return [SourceMetadata(Source.API_INFO, SourcePriority.CIVITAI, metadata, time_ms)]


def write(metadata: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """Write a file that ``read`` and the browser read."""
    return encode_sidecar(build_model(metadata, local))
