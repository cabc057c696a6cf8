"""``<stem>.json`` of AUTOMATIC1111 and Forge: what a person wrote about a model there. Pure.

Its "sd version" is one of three families, coarser than what catalogues say, so
that it counts no more than a header. Other programs add ids to the file, or keep the catalogue's answer under its name.
"""

import re
from collections.abc import Mapping
from typing import Any

from schemas.library.formats.hashes import SHA256, clean
from schemas.library.metadata import Claim, Facts, Rank, Source
from schemas.library.sidecars.civitai_reader import facts_of
from schemas.library.sidecars.civitai_writer import dump, hashes_of
from schemas.library.sidecars.json_values import MOST_WORDS, identity, line, load, number, said, text
from schemas.library.sidecars.local_file import UNKNOWN, LocalFile

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
FAMILIES: Mapping[str, str] = {"SD1": "SD 1.5", "SD2": "SD 2.1", "SDXL": "SDXL 1.0"}
# How the names of base models begin that belong to a family.
BEGINNINGS: Mapping[str, tuple[str, ...]] = {
    "SD1": ("SD 1",),
    "SD2": ("SD 2",),
    "SDXL": ("SDXL", "Pony", "Illustrious", "NoobAI"),
}
_UNKNOWN = ("unknown", "other", "")
_OPENING, _CLOSING = "([{<", ")]}>"


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN) -> list[Claim]:
    """What a person wrote; the family of base models; and what other programs have put there of the catalogue.

    Raises:
        SidecarError: it cannot be read at all.
    """
    document = load(raw)
    answered = isinstance(document.get("modelVersions"), list)
    claims = [
        Claim(Source.A1111, Rank.CATALOGUE, facts_of(document, local) if answered else _ids(document), time_ms),
        Claim(Source.A1111, Rank.HEADER, Facts(base_model=_base_model(document.get("sd version"))), time_ms),
        Claim(Source.A1111, Rank.PERSON, Facts() if answered else _person(document), time_ms),
    ]
    return [claim for claim in claims if not claim.facts.empty]


def write(facts: Facts, local: LocalFile = UNKNOWN) -> bytes:
    """A file that ``read`` and AUTOMATIC1111 read."""
    document = {
        "description": facts.description or "",
        "sd version": _family(facts.base_model or ""),
        "activation text": ", ".join(facts.trained_words),
        "preferred weight": facts.preferred_weight or 0,
        "negative text": facts.negative_words or "",
        "notes": facts.notes or "",
    }
    more = said(
        sha256=hashes_of(facts, local).get(SHA256),
        modelId=facts.civitai_id,
        modelVersionId=facts.civitai_version_id,
    )
    return dump(document | more)


def _person(document: Mapping[str, Any]) -> Facts:
    weight = number(document.get("preferred weight"))
    found = said(
        description=text(document.get("description")),
        trained_words=_words(text(document.get("activation text")) or ""),
        negative_words=text(document.get("negative text")),
        # Zero is how the program says that nobody has chosen one.
        preferred_weight=weight or None,
        notes=text(document.get("notes")),
    )
    return Facts(**found)


def _ids(document: Mapping[str, Any]) -> Facts:
    sha256 = clean(SHA256, document.get("sha256"))
    found = said(
        civitai_id=identity(document.get("modelId")),
        civitai_version_id=identity(document.get("modelVersionId")),
        hashes={SHA256: sha256} if sha256 else None,
    )
    return Facts(**found)


def _words(written: str) -> tuple[str, ...]:
    """The parts between commas; brackets hold together what the prompt's syntax does."""
    parts, depth = [""], 0
    for character in re.sub(r"\s+", " ", written):
        depth = max(0, depth + (character in _OPENING) - (character in _CLOSING))
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    found = (line(one) for one in parts[:MOST_WORDS])
    return tuple(dict.fromkeys(word for word in found if word))


def _base_model(value: Any) -> str | None:
    said_there = line(value) or ""
    return None if said_there.lower() in _UNKNOWN else FAMILIES.get(said_there.upper(), said_there)


def _family(base_model: str) -> str:
    families = (family for family, beginnings in BEGINNINGS.items() if base_model.startswith(beginnings))
    return next(families, "Unknown")
