"""``<stem>.json`` of AUTOMATIC1111 and Forge: a person's notes about a model.

Its "sd version" is one of a few families, coarser than what Civitai says, so it ranks with file headers. Other programs
add Civitai ids to the file, or keep Civitai's whole response under its name.
"""

import re
from collections.abc import Mapping
from typing import Any

from schemas.library.formats.base_models import (
    FLUX1_DEV,
    FLUX1_FILL,
    FLUX1_KONTEXT,
    FLUX1_KREA,
    FLUX1_SCHNELL,
    ILLUSTRIOUS,
    NOOBAI,
    PONY,
    SD1,
    SD2,
    SDXL,
    SDXL_REFINER,
    find_base_model,
)
from schemas.library.formats.hashes import SHA256, normalize_hash
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import parse_metadata
from schemas.library.sidecars.civitai_writer import encode_sidecar, merge_hashes
from schemas.library.sidecars.json_values import (
    MAX_WORDS,
    as_id,
    as_line,
    as_number,
    as_text,
    as_word_list,
    drop_empty,
    load_sidecar,
)
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

# With losses: of base models the family, of hashes the SHA-256.
FIELDS = frozenset(
    {
        "description",
        "base_model",
        "trained_words",
        "negative_words",
        "preferred_weight",
        "notes",
        "civitai_id",
        "civitai_version_id",
        "hashes",
    }
)
BASE_MODEL_BY_FAMILY: Mapping[str, str] = {"SD1": SD1, "SD2": SD2, "SDXL": SDXL, "FLUX": FLUX1_DEV}
# AUTOMATIC1111's families, and that of Forge, by base model. Names that begin alike need not be related: Pony V7
# descends from AuraFlow.
FAMILY_BY_BASE_MODEL: Mapping[str, str] = {
    **dict.fromkeys(("SD 1.4", SD1, "SD 1.5 LCM", "SD 1.5 Hyper"), "SD1"),
    **dict.fromkeys(("SD 2.0", "SD 2.0 768", SD2, "SD 2.1 768", "SD 2.1 Unclip"), "SD2"),
    **dict.fromkeys(("SDXL 0.9", SDXL, "SDXL 1.0 LCM", "SDXL Distilled", SDXL_REFINER), "SDXL"),
    **dict.fromkeys(("SDXL Turbo", "SDXL Lightning", "SDXL Hyper", PONY, ILLUSTRIOUS, NOOBAI), "SDXL"),
    **dict.fromkeys((FLUX1_DEV, FLUX1_SCHNELL, FLUX1_KONTEXT, FLUX1_KREA, FLUX1_FILL), "Flux"),
}
# The words one by one, where they could not be told from the text.
WORDS_KEY = "trainedWords"
_UNKNOWN_FAMILIES = ("unknown", "other", "")
_OPENING, _CLOSING = "([{<", ")]}>"


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """Read a person's notes, the family of base models, and Civitai's metadata that other programs added.

    Raises:
        FormatError: the file cannot be read at all.
    """
    document = load_sidecar(raw)
    if isinstance(document.get("modelVersions"), list):
        from_civitai, from_person = parse_metadata(document, local), Metadata()
    else:
        from_civitai, from_person = _read_ids(document), _read_person(document)
    family = Metadata(base_model=_read_base_model(document.get("sd version")))
    sources = [
        SourceMetadata(Source.A1111, SourcePriority.CIVITAI, from_civitai, time_ms),
        SourceMetadata(Source.A1111, SourcePriority.HEADER, family, time_ms),
        SourceMetadata(Source.A1111, SourcePriority.PERSON, from_person, time_ms),
    ]
    return [source for source in sources if not source.metadata.is_empty]


def write(metadata: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """Write a file that ``read`` and AUTOMATIC1111 read."""
    text = ", ".join(metadata.trained_words)
    document: dict[str, Any] = {
        "description": metadata.description or "",
        "sd version": _family_of(metadata.base_model or ""),
        "activation text": text,
        "preferred weight": metadata.preferred_weight or 0,
        "negative text": metadata.negative_words or "",
        "notes": metadata.notes or "",
    }
    ids = drop_empty(
        sha256=merge_hashes(metadata, local).get(SHA256),
        modelId=metadata.civitai_id,
        modelVersionId=metadata.civitai_version_id,
    )
    if _split_words(text) != metadata.trained_words:
        # AUTOMATIC1111 keeps keys that it does not know, but has one text for all words.
        ids[WORDS_KEY] = list(metadata.trained_words)
    return encode_sidecar(document | ids)


def _read_person(document: Mapping[str, Any]) -> Metadata:
    values = drop_empty(
        description=as_text(document.get("description")),
        trained_words=_read_words(document),
        negative_words=as_text(document.get("negative text")),
        # AUTOMATIC1111 writes 0 if no weight was chosen.
        preferred_weight=as_number(document.get("preferred weight")) or None,
        notes=as_text(document.get("notes")),
    )
    return Metadata(**values)


def _read_ids(document: Mapping[str, Any]) -> Metadata:
    sha256 = normalize_hash(SHA256, document.get("sha256"))
    values = drop_empty(
        civitai_id=as_id(document.get("modelId")),
        civitai_version_id=as_id(document.get("modelVersionId")),
        hashes={SHA256: sha256} if sha256 else None,
    )
    return Metadata(**values)


def _read_words(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words as they were written beside the text, if the text is still theirs; otherwise split the text."""
    text = as_text(document.get("activation text")) or ""
    listed = as_word_list(document.get(WORDS_KEY)) if WORDS_KEY in document else ()
    is_same = " ".join(", ".join(listed).split()) == " ".join(text.split())
    return listed if listed and is_same else _split_words(text)


def _split_words(text: str) -> tuple[str, ...]:
    """Split at the commas outside brackets, which group words in prompts."""
    parts, depth = [""], 0
    for character in re.sub(r"\s+", " ", text):
        depth = max(0, depth + (character in _OPENING) - (character in _CLOSING))
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    lines = (as_line(part) for part in parts[:MAX_WORDS])
    return tuple(dict.fromkeys(line for line in lines if line))


def _read_base_model(value: Any) -> str | None:
    family = as_line(value) or ""
    if family.lower() in _UNKNOWN_FAMILIES:
        return None
    return BASE_MODEL_BY_FAMILY.get(family.upper()) or find_base_model(family) or family


def _family_of(base_model: str) -> str:
    return FAMILY_BY_BASE_MODEL.get(find_base_model(base_model) or base_model, "Unknown")
