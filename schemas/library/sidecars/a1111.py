"""``<stem>.json`` of AUTOMATIC1111 and Forge: what a person wrote about a model there. Pure.

Its "sd version" is one of three families, coarser than what catalogues say, so
that it counts no more than a header. Other programs add ids to the file, or keep the catalogue's answer under its name.
"""

import re
from collections.abc import Mapping
from typing import Any

from schemas.library.formats.hashes import SHA256, normalize_hash
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import parse_metadata
from schemas.library.sidecars.civitai_writer import encode_sidecar, merge_hashes
from schemas.library.sidecars.json_values import MAX_WORDS, as_id, as_line, as_number, as_text, drop_empty, load_sidecar
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

# A base model as its family; trained words without commas outside of brackets; of the hashes the SHA-256.
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
BASE_MODEL_BY_FAMILY: Mapping[str, str] = {"SD1": "SD 1.5", "SD2": "SD 2.1", "SDXL": "SDXL 1.0"}
# How the names of base models begin that belong to a family.
FAMILY_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "SD1": ("SD 1",),
    "SD2": ("SD 2",),
    "SDXL": ("SDXL", "Pony", "Illustrious", "NoobAI"),
}
_UNKNOWN = ("unknown", "other", "")
_OPENING, _CLOSING = "([{<", ")]}>"


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """What a person wrote; the family of base models; and what other programs have put there of the catalogue.

    Raises:
        SidecarError: it cannot be read at all.
    """
    document = load_sidecar(raw)
    answered = isinstance(document.get("modelVersions"), list)
    claims = [
        SourceMetadata(
            Source.A1111,
            SourcePriority.CIVITAI,
            parse_metadata(document, local) if answered else _ids(document),
            time_ms,
        ),
        SourceMetadata(
            Source.A1111, SourcePriority.HEADER, Metadata(base_model=_base_model(document.get("sd version"))), time_ms
        ),
        SourceMetadata(Source.A1111, SourcePriority.PERSON, Metadata() if answered else _person(document), time_ms),
    ]
    return [claim for claim in claims if not claim.metadata.is_empty]


def write(facts: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """A file that ``read`` and AUTOMATIC1111 read."""
    document = {
        "description": facts.description or "",
        "sd version": _family(facts.base_model or ""),
        "activation text": ", ".join(facts.trained_words),
        "preferred weight": facts.preferred_weight or 0,
        "negative text": facts.negative_words or "",
        "notes": facts.notes or "",
    }
    more = drop_empty(
        sha256=merge_hashes(facts, local).get(SHA256),
        modelId=facts.civitai_id,
        modelVersionId=facts.civitai_version_id,
    )
    return encode_sidecar(document | more)


def _person(document: Mapping[str, Any]) -> Metadata:
    weight = as_number(document.get("preferred weight"))
    found = drop_empty(
        description=as_text(document.get("description")),
        trained_words=_words(as_text(document.get("activation text")) or ""),
        negative_words=as_text(document.get("negative text")),
        # Zero is how the program says that nobody has chosen one.
        preferred_weight=weight or None,
        notes=as_text(document.get("notes")),
    )
    return Metadata(**found)


def _ids(document: Mapping[str, Any]) -> Metadata:
    sha256 = normalize_hash(SHA256, document.get("sha256"))
    found = drop_empty(
        civitai_id=as_id(document.get("modelId")),
        civitai_version_id=as_id(document.get("modelVersionId")),
        hashes={SHA256: sha256} if sha256 else None,
    )
    return Metadata(**found)


def _words(written: str) -> tuple[str, ...]:
    """The parts between commas; brackets hold together what the prompt's syntax does."""
    parts, depth = [""], 0
    for character in re.sub(r"\s+", " ", written):
        depth = max(0, depth + (character in _OPENING) - (character in _CLOSING))
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    found = (as_line(one) for one in parts[:MAX_WORDS])
    return tuple(dict.fromkeys(word for word in found if word))


def _base_model(value: Any) -> str | None:
    said_there = as_line(value) or ""
    return None if said_there.lower() in _UNKNOWN else BASE_MODEL_BY_FAMILY.get(said_there.upper(), said_there)


def _family(base_model: str) -> str:
    families = (family for family, beginnings in FAMILY_PREFIXES.items() if base_model.startswith(beginnings))
    return next(families, "Unknown")
