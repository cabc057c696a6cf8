"""What is shown of a model: worked out anew from all that is said of it whenever any of that changes."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntFlag
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from schemas.fields import to_snake_case
from schemas.library.metadata import MergedMetadata, Metadata, Source, SourceMetadata, SourcePriority, merge_metadata
from schemas.library.path_rules import Category, categorize, civitai_type
from schemas.library.scan_records import FileFormat
from schemas.library.text_normalization import build_search_text, normalize, sort_key
from stores.library.rows import batches, claim_from_row, dump_json, insert_rows
from stores.library.tables import claims, details, edits, files, images, models, tags, versions

MAX_SAFE_INTEGER = 2**53


class ModelFlag(IntFlag):
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
class ModelRows:
    """All rows about one model."""

    versions: list[Any] = field(default_factory=list)
    claims: defaultdict[int, list[SourceMetadata]] = field(default_factory=lambda: defaultdict(list))
    files: list[Any] = field(default_factory=list)
    edits: dict[str, Any] = field(default_factory=dict)
    images: list[Any] = field(default_factory=list)

    @property
    def present(self) -> list[Any]:
        """The files that are there now, the oldest first."""
        return [row for row in self.files if row.missing_since is None]


def rebuild_read_model(connection: Connection, model_ids: Iterable[int]) -> None:
    """Write down what is to be shown of these models."""
    for part in batches(sorted(model_ids)):
        gathered = _gather(connection, part)
        believed = {model_id: _believed(about) for model_id, about in gathered.items()}
        columns = [_columns(model_id, about, believed[model_id]) for model_id, about in gathered.items()]
        if columns:
            connection.execute(_UPDATE_MODEL, columns)
        _rewrite(connection, details, part, [_detail(key, gathered[key], said) for key, said in believed.items()])
        _rewrite(connection, tags, part, [row for key, said in believed.items() for row in _tags(key, said.metadata)])
        versions_now = [row for about in gathered.values() for row in _version_rows(about)]
        if versions_now:
            connection.execute(_UPDATE_VERSION, versions_now)


def _rewrite(connection: Connection, table: Any, model_ids: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(delete(table).where(table.c.model_id.in_(model_ids)))
    insert_rows(connection, table, rows)


def _gather(connection: Connection, model_ids: Sequence[int]) -> dict[int, ModelRows]:
    known = connection.execute(select(models.c.id).where(models.c.id.in_(model_ids))).scalars()
    found = {model_id: ModelRows() for model_id in known}
    model_of: dict[int, int] = {}
    for row in connection.execute(select(versions).where(versions.c.model_id.in_(model_ids)).order_by(versions.c.id)):
        if row.model_id in found:
            found[row.model_id].versions.append(row)
            model_of[row.id] = row.model_id
    ours = select(versions.c.id).where(versions.c.model_id.in_(model_ids))
    for row in connection.execute(select(claims).where(claims.c.version_id.in_(ours))):
        found[model_of[row.version_id]].claims[row.version_id].append(claim_from_row(row))
    for row in connection.execute(select(*_OF_FILES).where(files.c.version_id.in_(ours)).order_by(files.c.id)):
        found[model_of[row.version_id]].files.append(row)
    for row in connection.execute(select(edits).where(edits.c.model_id.in_(found))):
        found[row.model_id].edits[row.field] = json.loads(row.value)
    for row in connection.execute(select(*_OF_IMAGES).where(images.c.model_id.in_(found)).order_by(*_ORDER)):
        found[row.model_id].images.append(row)
    return found


def _believed(about: ModelRows) -> MergedMetadata:
    """What is shown: what people have written, also where they have written that there is nothing."""
    merged = _with_all_words(merge_metadata(claim for said in about.claims.values() for claim in said), about)
    written = {to_snake_case(name): value for name, value in about.edits.items()}
    if not written:
        return merged
    user = Metadata.from_json(about.edits)
    facts = replace(merged.metadata, **{name: getattr(user, name) for name in written})
    return MergedMetadata(facts, {**merged.sources, **dict.fromkeys(written, Source.USER)})


def _with_all_words(merged: MergedMetadata, about: ModelRows) -> MergedMetadata:
    """A model is called by the words of all its versions, those of the one that is believed first."""
    each = (merge_metadata(said).metadata.trained_words for said in about.claims.values())
    words = dict.fromkeys((*merged.metadata.trained_words, *(word for said in each for word in said)))
    return MergedMetadata(replace(merged.metadata, trained_words=tuple(words)), merged.sources)


def _columns(model_id: int, about: ModelRows, said: MergedMetadata) -> dict[str, Any]:
    facts, present = said.metadata, about.present
    place = _place(about)
    kind = facts.type or civitai_type(place.name)
    return {
        "key": model_id,
        "name": facts.name or "?",
        "name_key": sort_key(facts.name or "?"),
        "type": kind,
        "type_key": normalize(kind),
        "category": place.name,
        "category_key": normalize(place.name),
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


def _place(about: ModelRows) -> Category:
    """Where its first file lies, or lay."""
    at = next((row.path for row in (*about.present, *about.files) if row.path is not None), b"")
    return categorize(at.decode(errors="replace"))


def _flags(about: ModelRows, facts: Metadata) -> ModelFlag:
    present = about.present
    told = any(claim.priority >= SourcePriority.CIVITAI for said in about.claims.values() for claim in said)
    contents = [row.content for row in present if row.content and row.hashed_at]
    true = {
        ModelFlag.METADATA: told,
        ModelFlag.NOTES: bool(facts.notes),
        ModelFlag.IMAGES: bool(about.images),
        ModelFlag.PICKLE: any(row.kind == FileFormat.PICKLE for row in present),
        ModelFlag.DUPLICATE: len(set(contents)) < len(contents),
        ModelFlag.HASHED: bool(present) and all(row.hashed_at for row in present),
        ModelFlag.PROBLEM: any(row.problem for row in present),
        ModelFlag.WORDS: bool(facts.trained_words),
        ModelFlag.TAGS: bool(facts.tags),
    }
    return ModelFlag(sum(flag for flag, holds in true.items() if holds))


def _nsfw_level(facts: Metadata, about: ModelRows) -> int:
    """What is said, else what its pictures show together."""
    if facts.nsfw_level is not None:
        return facts.nsfw_level
    shown = 0
    for row in about.images:
        shown |= row.nsfw_level
    return shown


def _newest_at(about: ModelRows) -> int:
    """When the newest version that is here was published; else when its newest file was written."""
    here = {row.version_id for row in about.present}
    published = (claim.metadata.published_at for key in here for claim in about.claims[key])
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
    return value if type(value) is int and 0 <= value < MAX_SAFE_INTEGER else 0


def _detail(model_id: int, about: ModelRows, said: MergedMetadata) -> dict[str, Any]:
    facts = said.metadata
    names = (row.name.rpartition(".")[0] for row in about.present)
    texts = (facts.name, *facts.tags, *facts.trained_words, facts.notes, facts.creator, *names)
    return {
        "model_id": model_id,
        "facts": dump_json(replace(facts, images=()).to_json()),
        "sources": dump_json(dict(said.sources)),
        "search_text": build_search_text(texts),
    }


def _tags(model_id: int, facts: Metadata) -> Iterator[dict[str, Any]]:
    labels = {normalize(label)[:200]: label for label in reversed(facts.tags)}
    yield from ({"model_id": model_id, "key": key, "label": label} for key, label in labels.items() if key)


def _version_rows(about: ModelRows) -> Iterator[dict[str, Any]]:
    for row in about.versions:
        facts = merge_metadata(about.claims[row.id]).metadata
        yield {"key": row.id, "facts": dump_json(replace(facts, images=(), versions=(), description=None).to_json())}


def _folded(text: str | None) -> str | None:
    return normalize(text) if text else None


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
