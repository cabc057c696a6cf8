"""``<stem>.metadata.json`` of ComfyUI's LoRA Manager: what the catalogue said and what a person wrote. Pure.

Its document: the program's ``docs/metadata-json-schema.md``. A name, tags and
trained words are taken as a person's where they are not the catalogue's or the file name.
"""

import json
from collections.abc import Mapping
from typing import Any

from schemas.library.formats.hashes import AUTOV3, SHA256, normalize_hash
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, parse_metadata
from schemas.library.sidecars.civitai_writer import build_version, encode_sidecar, merge_hashes
from schemas.library.sidecars.json_values import (
    SidecarError,
    as_id,
    as_line,
    as_number,
    as_object,
    as_text,
    as_words,
    drop_empty,
    load_sidecar,
    parse_json,
)
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS - {"stats", "versions"} | {"notes", "preferred_weight"}
UNKNOWN_BASE = "unknown"


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """What the catalogue said, and apart from it what a person wrote.

    Raises:
        SidecarError: it cannot be read at all.
    """
    document = load_sidecar(raw)
    answer = as_object(document.get("civitai"))
    said_there = parse_metadata(answer, local)
    catalogue, person = _split(document, answer, said_there)
    claims = [
        SourceMetadata(Source.LORA_MANAGER, SourcePriority.CIVITAI, catalogue, time_ms),
        SourceMetadata(Source.LORA_MANAGER, SourcePriority.PERSON, person, time_ms),
    ]
    return [claim for claim in claims if not claim.metadata.is_empty]


def write(facts: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """A file that ``read`` and LoRA Manager read; the latter puts the file's path into it by itself."""
    answer = build_version(facts, local)
    hashes = merge_hashes(facts, local)
    tips = {"strength": facts.preferred_weight} if facts.preferred_weight is not None else {}
    document = {
        "file_name": local.stem,
        "model_name": facts.name or local.stem,
        "file_path": local.name,
        "size": local.size_bytes,
        "modified": local.time_ms / 1000,
        "sha256": hashes.get(SHA256, ""),
        "base_model": facts.base_model or "Unknown",
        "preview_url": "",
        "preview_nsfw_level": 0,
        "notes": facts.notes or "",
        "from_civitai": facts.civitai_version_id is not None,
        "civitai": answer,
        "tags": list(facts.tags),
        "modelDescription": facts.description or "",
        "usage_tips": json.dumps(tips),
    }
    return encode_sidecar(document | drop_empty(autov3=hashes.get(AUTOV3)))


def _split(document: Mapping[str, Any], answer: Mapping[str, Any], said_there: Metadata) -> tuple[Metadata, Metadata]:
    known = {name: getattr(said_there, name) for name in FIELDS if name in VERSION_FIELDS | MODEL_FIELDS}
    hashes = drop_empty(
        SHA256=normalize_hash(SHA256, document.get("sha256")), AutoV3=normalize_hash(AUTOV3, document.get("autov3"))
    )
    known["hashes"] = {**said_there.hashes, **hashes}
    base = as_line(document.get("base_model"))
    known["base_model"] = (base if base and base.lower() != UNKNOWN_BASE else None) or said_there.base_model
    known["description"] = as_text(document.get("modelDescription")) or said_there.description
    own = drop_empty(
        name=_own_name(document, said_there),
        tags=_own_tags(document, said_there),
        notes=as_text(document.get("notes")),
        preferred_weight=_weight(document.get("usage_tips")),
    )
    if as_id(answer.get("id")) is None and said_there.trained_words:
        own["trained_words"] = known.pop("trained_words")
    return Metadata(**known), Metadata(**own)


def _own_name(document: Mapping[str, Any], said_there: Metadata) -> str | None:
    name = as_line(document.get("model_name"))
    return None if name in (said_there.name, as_line(document.get("file_name"))) else name


def _own_tags(document: Mapping[str, Any], said_there: Metadata) -> tuple[str, ...]:
    tags = as_words(document.get("tags"))
    known = {tag.casefold() for tag in said_there.tags}
    return () if {tag.casefold() for tag in tags} <= known else tags


def _weight(tips: Any) -> float | None:
    """The strength that somebody recommends: JSON in a text."""
    if isinstance(tips, str):
        try:
            tips = parse_json(tips)
        except SidecarError:
            return None
    return as_number(as_object(tips).get("strength"))
