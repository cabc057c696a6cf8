"""What is shown of a model: worked out anew from all that is said of it whenever any of that changes."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntFlag
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from schemas.fields import snake
from schemas.library.metadata import Claim, Facts, Merged, Rank, Source, merge
from schemas.library.path_rules import Place, place_of, type_of
from schemas.library.scan_records import Kind
from schemas.library.text_normalization import fold, search_text, sort_key
from stores.library.rows import dump, insert_all, parts, read_claim
from stores.library.tables import claims, details, edits, files, images, models, tags, versions

LARGEST_COUNT = 2**53


class Flag(IntFlag):
    """What is true of a model, for filters."""

    METADATA = 1
    NOTES = 2
    IMAGES = 4
    PICKLE = 8
    DUPLICATE = 16
    HASHED = 32
    PROBLEM = 64
    WORDS = 128
    TAGS = 256


@dataclass(slots=True)
class Parts:
    """All rows about one model."""

    versions: list[Any] = field(default_factory=list)
    claims: defaultdict[int, list[Claim]] = field(default_factory=lambda: defaultdict(list))
    files: list[Any] = field(default_factory=list)
    edits: dict[str, Any] = field(default_factory=dict)
    images: list[Any] = field(default_factory=list)

    @property
    def present(self) -> list[Any]:
        """The files that are there now, the oldest first."""
        return [row for row in self.files if row.missing_since is None]


def refresh(connection: Connection, model_ids: Iterable[int]) -> None:
    """Write down what is to be shown of these models."""
    for part in parts(sorted(model_ids)):
        gathered = _gather(connection, part)
        believed = {model_id: _believed(about) for model_id, about in gathered.items()}
        columns = [_columns(model_id, about, believed[model_id]) for model_id, about in gathered.items()]
        if columns:
            connection.execute(_UPDATE_MODEL, columns)
        _rewrite(connection, details, part, [_detail(key, gathered[key], said) for key, said in believed.items()])
        _rewrite(connection, tags, part, [row for key, said in believed.items() for row in _tags(key, said.facts)])
        versions_now = [row for about in gathered.values() for row in _version_rows(about)]
        if versions_now:
            connection.execute(_UPDATE_VERSION, versions_now)


def _rewrite(connection: Connection, table: Any, model_ids: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(delete(table).where(table.c.model_id.in_(model_ids)))
    insert_all(connection, table, rows)


def _gather(connection: Connection, model_ids: Sequence[int]) -> dict[int, Parts]:
    known = connection.execute(select(models.c.id).where(models.c.id.in_(model_ids))).scalars()
    found = {model_id: Parts() for model_id in known}
    model_of: dict[int, int] = {}
    for row in connection.execute(select(versions).where(versions.c.model_id.in_(model_ids)).order_by(versions.c.id)):
        if row.model_id in found:
            found[row.model_id].versions.append(row)
            model_of[row.id] = row.model_id
    ours = select(versions.c.id).where(versions.c.model_id.in_(model_ids))
    for row in connection.execute(select(claims).where(claims.c.version_id.in_(ours))):
        found[model_of[row.version_id]].claims[row.version_id].append(read_claim(row))
    for row in connection.execute(select(*_OF_FILES).where(files.c.version_id.in_(ours)).order_by(files.c.id)):
        found[model_of[row.version_id]].files.append(row)
    for row in connection.execute(select(edits).where(edits.c.model_id.in_(found))):
        found[row.model_id].edits[row.field] = json.loads(row.value)
    for row in connection.execute(select(*_OF_IMAGES).where(images.c.model_id.in_(found)).order_by(*_ORDER)):
        found[row.model_id].images.append(row)
    return found


def _believed(about: Parts) -> Merged:
    """What is shown: what people have written, also where they have written that there is nothing."""
    merged = _with_all_words(merge(claim for said in about.claims.values() for claim in said), about)
    written = {snake(name): value for name, value in about.edits.items()}
    if not written:
        return merged
    user = Facts.from_json(about.edits)
    facts = replace(merged.facts, **{name: getattr(user, name) for name in written})
    return Merged(facts, {**merged.sources, **dict.fromkeys(written, Source.USER)})


def _with_all_words(merged: Merged, about: Parts) -> Merged:
    """A model is called by the words of all its versions, those of the one that is believed first."""
    each = (merge(said).facts.trained_words for said in about.claims.values())
    words = dict.fromkeys((*merged.facts.trained_words, *(word for said in each for word in said)))
    return Merged(replace(merged.facts, trained_words=tuple(words)), merged.sources)


def _columns(model_id: int, about: Parts, said: Merged) -> dict[str, Any]:
    facts, present = said.facts, about.present
    place = _place(about)
    kind = facts.type or type_of(place.category)
    return {
        "key": model_id,
        "name": facts.name or "?",
        "name_key": sort_key(facts.name or "?"),
        "type": kind,
        "type_key": fold(kind),
        "category": place.category,
        "category_key": fold(place.category),
        "subcategory": place.subcategory,
        "subcategory_key": _folded(place.subcategory),
        "base_model": facts.base_model or None,
        "base_model_key": sort_key(facts.base_model) if facts.base_model else None,
        "creator_key": _folded(facts.creator),
        "nsfw_level": _nsfw_level(facts, about),
        "downloads": _count(facts.stats, "downloadCount"),
        "likes": _count(facts.stats, "thumbsUpCount") or _count(facts.stats, "favoriteCount"),
        "newest_at": _newest_at(about),
        "size_bytes": sum(row.size_bytes for row in present),
        "dim": next(filter(None, (json.loads(row.header).get("dim") for row in present)), None),
        "files": len(present),
        "flags": int(_flags(about, facts)),
        "hero_image": about.images[0].id if about.images else None,
    }


def _place(about: Parts) -> Place:
    """Where its first file lies, or lay."""
    at = next((row.path for row in (*about.present, *about.files) if row.path is not None), b"")
    return place_of(at.decode(errors="replace"))


def _flags(about: Parts, facts: Facts) -> Flag:
    present = about.present
    told = any(claim.rank >= Rank.CATALOGUE for said in about.claims.values() for claim in said)
    contents = [row.content for row in present if row.content and row.hashed_at]
    true = {
        Flag.METADATA: told,
        Flag.NOTES: bool(facts.notes),
        Flag.IMAGES: bool(about.images),
        Flag.PICKLE: any(row.kind == Kind.PICKLE for row in present),
        Flag.DUPLICATE: len(set(contents)) < len(contents),
        Flag.HASHED: bool(present) and all(row.hashed_at for row in present),
        Flag.PROBLEM: any(row.problem for row in present),
        Flag.WORDS: bool(facts.trained_words),
        Flag.TAGS: bool(facts.tags),
    }
    return Flag(sum(flag for flag, holds in true.items() if holds))


def _nsfw_level(facts: Facts, about: Parts) -> int:
    """What is said, else what its pictures show together."""
    if facts.nsfw_level is not None:
        return facts.nsfw_level
    shown = 0
    for row in about.images:
        shown |= row.nsfw_level
    return shown


def _newest_at(about: Parts) -> int:
    """When the newest version that is here was published; else when its newest file was written."""
    here = {row.version_id for row in about.present}
    published = (claim.facts.published_at for key in here for claim in about.claims[key])
    times = [time for text in published if text and (time := _milliseconds(text))]
    written = [row.mtime_ns // 1_000_000 for row in about.present or about.files]
    return max(times or written, default=0)


def _milliseconds(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
        return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _count(stats: Mapping[str, Any], name: str) -> int:
    value = stats.get(name)
    return value if type(value) is int and 0 <= value < LARGEST_COUNT else 0


def _detail(model_id: int, about: Parts, said: Merged) -> dict[str, Any]:
    facts = said.facts
    names = (row.name.rpartition(".")[0] for row in about.present)
    texts = (facts.name, *facts.tags, *facts.trained_words, facts.notes, facts.creator, *names)
    return {
        "model_id": model_id,
        "facts": dump(replace(facts, images=()).to_json()),
        "sources": dump(dict(said.sources)),
        "search_text": search_text(texts),
    }


def _tags(model_id: int, facts: Facts) -> Iterator[dict[str, Any]]:
    labels = {fold(label)[:200]: label for label in reversed(facts.tags)}
    yield from ({"model_id": model_id, "key": key, "label": label} for key, label in labels.items() if key)


def _version_rows(about: Parts) -> Iterator[dict[str, Any]]:
    for row in about.versions:
        facts = merge(about.claims[row.id]).facts
        yield {"key": row.id, "facts": dump(replace(facts, images=(), versions=(), description=None).to_json())}


def _folded(text: str | None) -> str | None:
    return fold(text) if text else None


_OF_FILES = (
    *(files.c.id, files.c.version_id, files.c.path, files.c.name, files.c.kind, files.c.size_bytes, files.c.mtime_ns),
    *(files.c.header, files.c.problem, files.c.content, files.c.hashed_at, files.c.missing_since),
)
_OF_IMAGES = (images.c.id, images.c.model_id, images.c.nsfw_level)
# What people have given comes before what lies on disk.
_ORDER = (images.c.slot.is_not(None), images.c.sort_order, images.c.id)
_COMPUTED = (
    *("name", "name_key", "type", "type_key", "category", "category_key", "subcategory", "subcategory_key"),
    *("base_model", "base_model_key", "creator_key", "nsfw_level", "downloads", "likes", "newest_at", "size_bytes"),
    *("dim", "files", "flags", "hero_image"),
)
_UPDATE_MODEL = (
    update(models).where(models.c.id == bindparam("key")).values({name: bindparam(name) for name in _COMPUTED})
)
_UPDATE_VERSION = update(versions).where(versions.c.id == bindparam("key")).values(facts=bindparam("facts"))
