"""``<stem>.api_info.json``: the catalogue's whole answer about a model, as a browser for A1111 keeps it. Pure.

It has the model with all its versions.
"""

from schemas.library.metadata import Claim, Facts, Rank, Source
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, facts_of
from schemas.library.sidecars.civitai_writer import dump, model_answer
from schemas.library.sidecars.json_values import load
from schemas.library.sidecars.local_file import UNKNOWN, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN) -> list[Claim]:
    """What the catalogue said of the model, of all versions, and of the one that ``local`` is.

    Raises:
        SidecarError: it cannot be read at all.
    """
    facts = facts_of(load(raw), local)
    return [] if facts.empty else [Claim(Source.API_INFO, Rank.CATALOGUE, facts, time_ms)]


def write(facts: Facts, local: LocalFile = UNKNOWN) -> bytes:
    """A file that ``read`` and the browser read."""
    return dump(model_answer(facts, local))
