"""Where a picture came from, as the page of its token shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from api.gallery.pages.formats import Row, format_day
from api.http.context import optional_caller, stores
from schemas.gallery.provenance import hide_private, list_facts
from schemas.gallery.tokens import Token
from stores.gallery.provenance import FoundModel, Presence, find_models, list_obstacles

PRESENCE_NOTES = {
    Presence.PRESENT: "in the library",
    Presence.CHANGED: "the library's file of this name is another one",
    Presence.MISSING: "not in the library",
    Presence.UNKNOWN: "",
}


@dataclass(frozen=True, slots=True)
class ProvenanceEntry:
    """How a picture was made. ``prompt`` is empty if it is private and the reader is not its owner.

    ``again_path`` leads to the console, whose form then has the same inputs. It is empty for readers without a key and
    where the prompt is private. ``obstacles`` says why the picture cannot be made again, if it cannot.
    """

    prompt: str
    is_private: bool
    rows: tuple[Row, ...]
    again_path: str
    obstacles: tuple[str, ...]


def describe_provenance(token: Token, *, is_owner: bool) -> ProvenanceEntry | None:
    """Return how a picture was made; None if that is not known."""
    if not token.provenance:
        return None
    record = hide_private(token.provenance, is_owner=is_owner, is_prompt_private=token.is_prompt_private)
    prompt = record.get("prompt") or ""
    can_repeat = bool(prompt) and optional_caller() is not None
    models = find_models(stores(), record)
    return ProvenanceEntry(
        prompt=prompt,
        is_private=token.is_prompt_private,
        rows=tuple(_list_rows(record, models)),
        again_path=f"console/make?{urlencode({'token': token.token_id})}" if can_repeat else "",
        obstacles=tuple(list_obstacles(stores(), token.provenance, models)) if can_repeat else (),
    )


def _list_rows(record: Mapping[str, Any], models: Sequence[FoundModel]) -> list[Row]:
    site, *facts = list_facts(record)
    rows = [Row(*site)]
    if recipe := record["site"].get("recipe"):
        rows.append(Row("Recipe", str(recipe)))
    # The models are the first facts after the site.
    notes = [PRESENCE_NOTES[found.presence] for found in models]
    notes += [""] * (len(facts) - len(notes))
    rows += [Row(label, value, note) for (label, value), note in zip(facts, notes, strict=True)]
    if finished_at := record.get("finishedAt"):
        rows.append(Row("Made", format_day(finished_at).human))
    return rows
