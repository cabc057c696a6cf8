"""``<stem>.metadata.json`` of ComfyUI's LoRA Manager: Civitai's response and a person's edits.

Source: the program's ``docs/metadata-json-schema.md``. A name, tags, base model and description count as a person's
where they differ from those of Civitai's response in the same file, and a name also if it is not the file's. Trained
words are edited within that response, so they are a person's in any case.
"""

import json
from collections.abc import Mapping
from typing import Any

from schemas.format_error import FormatError
from schemas.library.formats.hashes import AUTOV3, SHA256, normalize_hash
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, parse_metadata
from schemas.library.sidecars.civitai_writer import build_version, encode_sidecar, merge_hashes
from schemas.library.sidecars.json_values import (
    as_line,
    as_number,
    as_object,
    as_text,
    as_word_list,
    drop_empty,
    load_sidecar,
    parse_json,
)
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS - {"stats", "versions"} | {"notes", "preferred_weight"}
UNKNOWN_BASE_MODEL = "Unknown"


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """Read Civitai's metadata and, separately, a person's edits.

    Raises:
        FormatError: the file cannot be read at all.
    """
    document = load_sidecar(raw)
    response = as_object(document.get("civitai"))
    from_civitai, from_person = _split(document, parse_metadata(response, local))
    sources = [
        SourceMetadata(Source.LORA_MANAGER, SourcePriority.CIVITAI, from_civitai, time_ms),
        SourceMetadata(Source.LORA_MANAGER, SourcePriority.PERSON, from_person, time_ms),
    ]
    return [source for source in sources if not source.metadata.is_empty]


def write(metadata: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """Write a file that ``read`` and LoRA Manager read; the latter corrects the path."""
    hashes = merge_hashes(metadata, local)
    tips = {"strength": metadata.preferred_weight} if metadata.preferred_weight is not None else {}
    document = {
        "file_name": local.stem,
        "model_name": metadata.name or local.stem,
        "file_path": local.name,
        "size": local.size_bytes,
        "modified": local.time_ms / 1000,
        "sha256": hashes.get(SHA256, ""),
        "base_model": metadata.base_model or UNKNOWN_BASE_MODEL,
        "preview_url": "",
        "preview_nsfw_level": 0,
        "notes": metadata.notes or "",
        "from_civitai": metadata.civitai_version_id is not None,
        "civitai": build_version(metadata, local),
        "tags": list(metadata.tags),
        "modelDescription": metadata.description or "",
        "usage_tips": json.dumps(tips),
    }
    return encode_sidecar(document | drop_empty(autov3=hashes.get(AUTOV3)))


def _split(document: Mapping[str, Any], from_response: Metadata) -> tuple[Metadata, Metadata]:
    """Return Civitai's metadata, from the response and from fields of the document, and a person's edits."""
    civitai = {name: getattr(from_response, name) for name in VERSION_FIELDS | MODEL_FIELDS if name in FIELDS}
    civitai["hashes"] = dict(from_response.hashes) | drop_empty(
        SHA256=normalize_hash(SHA256, document.get("sha256")),
        AutoV3=normalize_hash(AUTOV3, document.get("autov3")),
    )
    person = drop_empty(
        name=_person_name(document, from_response),
        trained_words=civitai.pop("trained_words"),
        tags=_person_tags(document, from_response),
        notes=as_text(document.get("notes")),
        preferred_weight=_parse_weight(document.get("usage_tips")),
    )
    own = {"base_model": _read_base_model(document), "description": as_text(document.get("modelDescription"))}
    # Responses of older releases have the description of the version only.
    theirs = {"base_model": from_response.base_model}
    theirs["description"] = from_response.description or from_response.version_description
    for name, value in own.items():
        if theirs[name] and value and value != theirs[name]:
            person[name] = value
        else:
            civitai[name] = value or civitai[name]
    return Metadata(**civitai), Metadata(**person)


def _read_base_model(document: Mapping[str, Any]) -> str | None:
    base_model = as_line(document.get("base_model"))
    return base_model if base_model and base_model.lower() != UNKNOWN_BASE_MODEL.lower() else None


def _person_name(document: Mapping[str, Any], from_response: Metadata) -> str | None:
    name = as_line(document.get("model_name"))
    return None if name in (from_response.name, as_line(document.get("file_name"))) else name


def _person_tags(document: Mapping[str, Any], from_response: Metadata) -> tuple[str, ...]:
    tags = as_word_list(document.get("tags"))
    civitai_tags = {tag.casefold() for tag in from_response.tags}
    return () if {tag.casefold() for tag in tags} <= civitai_tags else tags


def _parse_weight(tips: Any) -> float | None:
    """Return the recommended strength from the usage tips, which are JSON in a string."""
    if isinstance(tips, str):
        try:
            tips = parse_json(tips)
        except FormatError:
            return None
    return as_number(as_object(tips).get("strength"))
