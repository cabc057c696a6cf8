"""Where a picture came from, as the page of its token shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from api.gallery.pages.formats import Row, format_day
from schemas.gallery.provenance import hide_private, list_facts
from schemas.gallery.tokens import Token


@dataclass(frozen=True, slots=True)
class ProvenanceEntry:
    """How a picture was made. ``prompt`` is empty if it is private and the reader is not its owner.

    ``again_path`` leads to the console, whose form then has the same inputs; it is empty without them.
    """

    prompt: str
    is_private: bool
    rows: tuple[Row, ...]
    again_path: str


def describe_provenance(token: Token, *, is_owner: bool) -> ProvenanceEntry | None:
    """Return how a picture was made; None if that is not known."""
    if not token.provenance:
        return None
    record = hide_private(token.provenance, is_owner=is_owner, is_prompt_private=token.is_prompt_private)
    prompt = record.get("prompt") or ""
    return ProvenanceEntry(
        prompt=prompt,
        is_private=token.is_prompt_private,
        rows=tuple(_list_rows(record)),
        again_path=f"console/make?{urlencode({'token': token.token_id})}" if prompt else "",
    )


def _list_rows(record: Mapping[str, Any]) -> list[Row]:
    rows = [Row(label, value) for label, value in list_facts(record)]
    if recipe := record["site"].get("recipe"):
        rows.insert(1, Row("Recipe", str(recipe)))
    if finished_at := record.get("finishedAt"):
        rows.append(Row("Made", format_day(finished_at).human))
    return rows
