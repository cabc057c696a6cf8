"""``<stem>.civitai.info``: the catalogue's answer to a hash, as the helper for A1111 keeps it. Pure.

It has a version and its model, but not the model's stats and other versions.
"""

from typing import Any

from schemas.library.metadata import Claim, Facts, Rank, Source
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, facts_of
from schemas.library.sidecars.civitai_writer import dump, version_answer
from schemas.library.sidecars.json_values import load, part
from schemas.library.sidecars.local_file import UNKNOWN, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS - {"stats", "versions"}


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN) -> list[Claim]:
    """What the catalogue said; nothing where the helper only noted that the catalogue does not know the file.

    Raises:
        SidecarError: it cannot be read at all.
    """
    document = load(raw)
    facts = Facts() if _not_there(document) else facts_of(document, local)
    return [] if facts.empty else [Claim(Source.CIVITAI_INFO, Rank.CATALOGUE, facts, time_ms)]


def write(facts: Facts, local: LocalFile = UNKNOWN) -> bytes:
    """A file that ``read`` and the helper read."""
    return dump(version_answer(facts, local))


def _not_there(document: dict[str, Any]) -> bool:
    """Whether it is the mark that the helper leaves: an empty object, or a skeleton made from the file's name."""
    helper = part(part(document.get("extensions")).get("sd_civitai_helper"))
    return document.get("skeleton_file") is True or helper.get("skeleton_file") is True
