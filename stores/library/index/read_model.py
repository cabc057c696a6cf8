"""The read model: the columns that lists and pages of models show, denormalized from all that is known of a model.

It is rebuilt in the same transaction as every change of the rows behind it, so it is never stale.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntFlag
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from schemas.fields import to_snake_case
from schemas.library.categories import CATEGORY_BY_TYPE, TEXT_ENCODER, Category, categorize, civitai_type
from schemas.library.metadata import MergedMetadata, Metadata, Source, SourceMetadata, SourcePriority, merge_metadata
from schemas.library.model_parts import PART
from schemas.library.model_views import is_video
from schemas.library.scan_records import FileFormat
from schemas.library.text_normalization import build_search_text, normalize, sort_key
from stores.library.rows import batches, dump_json, insert_rows, source_metadata_from_row
from stores.library.tables import details, files, images, models, source_metadata, tags, user_edits, versions

# Larger integers lose digits in JavaScript.
MAX_SAFE_INTEGER = 2**53
MAX_TAG_KEY_CHARS = 200
_FILE_COLUMNS = (
    *(files.c.id, files.c.version_id, files.c.root, files.c.path, files.c.name, files.c.kind, files.c.size_bytes),
    files.c.mtime_ns,
    *(files.c.header, files.c.problem, files.c.content, files.c.hashed_at, files.c.missing_since),
)
_IMAGE_COLUMNS = (images.c.id, images.c.model_id, images.c.nsfw_level, images.c.path)
# User images come before preview images.
_IMAGE_ORDER = (images.c.slot.is_not(None), images.c.sort_order, images.c.id)
_COMPUTED_COLUMNS = (
    *("name", "name_key", "type", "type_key", "category", "category_key", "subcategory", "subcategory_key"),
    *("base_model", "base_model_key", "creator_key", "nsfw_level", "downloads", "likes", "newest_at", "size_bytes"),
    *("dim", "files", "flags", "hero_image"),
)
_UPDATE_MODEL = (
    update(models).where(models.c.id == bindparam("key")).values({name: bindparam(name) for name in _COMPUTED_COLUMNS})
)
_UPDATE_VERSION = update(versions).where(versions.c.id == bindparam("key")).values(facts=bindparam("facts"))


class ModelFlag(IntFlag):
    """Bits of ``library_models.flags``, for filters."""

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
    """The rows of one model: its versions, the metadata of these by version, and so on."""

    versions: list[Any] = field(default_factory=list)
    source_metadata: defaultdict[int, list[SourceMetadata]] = field(default_factory=lambda: defaultdict(list))
    files: list[Any] = field(default_factory=list)
    edits: dict[str, Any] = field(default_factory=dict)
    images: list[Any] = field(default_factory=list)

    @property
    def present_files(self) -> list[Any]:
        """The files on disk, the oldest first."""
        return [row for row in self.files if row.missing_since is None]

    @property
    def all_source_metadata(self) -> Iterator[SourceMetadata]:
        """The metadata of all versions."""
        return (record for records in self.source_metadata.values() for record in records)


def rebuild_read_model(connection: Connection, model_ids: Iterable[int]) -> None:
    """Recompute and write the read model of these models; ids that do not exist are ignored."""
    for batch in batches(sorted(model_ids)):
        rows_by_model = _load_rows(connection, batch)
        merged = {model_id: _merge_all(rows) for model_id, rows in rows_by_model.items()}
        columns = [_model_columns(model_id, rows, merged[model_id]) for model_id, rows in rows_by_model.items()]
        if columns:
            connection.execute(_UPDATE_MODEL, columns)
        detail_rows = [_detail_row(model_id, rows_by_model[model_id], each) for model_id, each in merged.items()]
        _replace_rows(connection, details, batch, detail_rows)
        tag_rows = [row for model_id, each in merged.items() for row in _tag_rows(model_id, each.metadata)]
        _replace_rows(connection, tags, batch, tag_rows)
        version_rows = [row for rows in rows_by_model.values() for row in _version_rows(rows)]
        if version_rows:
            connection.execute(_UPDATE_VERSION, version_rows)


def _replace_rows(
    connection: Connection, table: Any, model_ids: Sequence[int], rows: Sequence[Mapping[str, Any]]
) -> None:
    connection.execute(delete(table).where(table.c.model_id.in_(model_ids)))
    insert_rows(connection, table, rows)


def _load_rows(connection: Connection, model_ids: Sequence[int]) -> dict[int, ModelRows]:
    existing = connection.execute(select(models.c.id).where(models.c.id.in_(model_ids))).scalars()
    loaded = {model_id: ModelRows() for model_id in existing}
    rows_of_version: dict[int, ModelRows] = {}
    for row in connection.execute(select(versions).where(versions.c.model_id.in_(loaded)).order_by(versions.c.id)):
        rows_of_version[row.id] = loaded[row.model_id]
        loaded[row.model_id].versions.append(row)
    in_models = select(versions.c.id).where(versions.c.model_id.in_(loaded))
    for row in connection.execute(select(source_metadata).where(source_metadata.c.version_id.in_(in_models))):
        record = source_metadata_from_row(row)
        rows_of_version[row.version_id].source_metadata[row.version_id].append(record)
    query = select(*_FILE_COLUMNS).where(files.c.version_id.in_(in_models)).order_by(files.c.id)
    for row in connection.execute(query):
        rows_of_version[row.version_id].files.append(row)
    for row in connection.execute(select(user_edits).where(user_edits.c.model_id.in_(loaded))):
        loaded[row.model_id].edits[row.field] = json.loads(row.value)
    query = select(*_IMAGE_COLUMNS).where(images.c.model_id.in_(loaded)).order_by(*_IMAGE_ORDER)
    for row in connection.execute(query):
        loaded[row.model_id].images.append(row)
    return loaded


def _merge_all(rows: ModelRows) -> MergedMetadata:
    """Merge all sources; user edits win, also where they are empty."""
    merged = _with_all_trained_words(merge_metadata(rows.all_source_metadata), rows)
    merged = _with_type_of_contents(merged, rows)
    edited = {to_snake_case(name) for name in rows.edits}
    if not edited:
        return merged
    user = Metadata.from_json(rows.edits)
    metadata = replace(merged.metadata, **{name: getattr(user, name) for name in edited})
    return MergedMetadata(metadata, {**merged.sources, **dict.fromkeys(edited, Source.USER)})


def _with_all_trained_words(merged: MergedMetadata, rows: ModelRows) -> MergedMetadata:
    """Add the trained words of all versions after those of the preferred source."""
    words = dict.fromkeys(merged.metadata.trained_words)
    for records in rows.source_metadata.values():
        words |= dict.fromkeys(merge_metadata(records).metadata.trained_words)
    return MergedMetadata(replace(merged.metadata, trained_words=tuple(words)), merged.sources)


def _model_columns(model_id: int, rows: ModelRows, merged: MergedMetadata) -> dict[str, Any]:
    metadata, present = merged.metadata, rows.present_files
    category = _category(rows, metadata.type)
    # Civitai has no type for text encoders.
    type_ = metadata.type if metadata.type not in (None, TEXT_ENCODER) else civitai_type(category.name)
    return {
        "key": model_id,
        "name": metadata.name or "?",
        "name_key": sort_key(metadata.name or "?"),
        "type": type_,
        "type_key": normalize(type_),
        "category": category.name,
        "category_key": normalize(category.name),
        "subcategory": category.subcategory,
        "subcategory_key": _normalize_or_none(category.subcategory),
        "base_model": metadata.base_model or None,
        "base_model_key": sort_key(metadata.base_model) if metadata.base_model else None,
        "creator_key": _normalize_or_none(metadata.creator),
        "nsfw_level": _nsfw_level(metadata, rows),
        "downloads": _count(metadata.stats, "downloadCount"),
        "likes": _count(metadata.stats, "thumbsUpCount") or _count(metadata.stats, "favoriteCount"),
        "newest_at": _newest_at(rows),
        "size_bytes": sum(row.size_bytes for row in present),
        "dim": next(filter(None, (json.loads(row.header).get("dim") for row in present)), None),
        "files": len(present),
        "flags": int(_flags(rows, metadata)),
        "hero_image": next((row.id for row in rows.images if not is_video(row.path)), None),
    }


def _category(rows: ModelRows, type_: str | None) -> Category:
    """Return the category of the type, or else of the first file on disk, or of the first one that was."""
    candidates = (*rows.present_files, *rows.files)
    row = next((row for row in candidates if row.path is not None), None)
    if row is None:
        return categorize("", type_)
    path: bytes = row.path
    if PART in json.loads(row.header):
        # The folder of a part describes the part, not the model.
        path = b"%s/%s" % (path.rpartition(b"/")[0].rpartition(b"/")[0], path.rpartition(b"/")[2])
    return categorize(path.decode(errors="replace"), type_, row.root)


def _with_type_of_contents(merged: MergedMetadata, rows: ModelRows) -> MergedMetadata:
    """Return the metadata with the type that the contents of the newest file tell, unless another source agrees.

    A sidecar may name a kind of LoRA that the contents do not tell, but not make a LoRA of a checkpoint.
    """
    types = (record for record in rows.all_source_metadata if record.source == Source.HEADER and record.metadata.type)
    newest = max(types, key=lambda record: record.time_ms, default=None)
    own = newest.metadata.type if newest else None
    if own is None:
        return merged
    categories = [CATEGORY_BY_TYPE.get((type_ or "").lower()) for type_ in (own, merged.metadata.type)]
    if categories[0] == categories[1]:
        return merged
    sources = {**merged.sources, "type": Source.HEADER}
    return MergedMetadata(replace(merged.metadata, type=own), sources)


def _flags(rows: ModelRows, metadata: Metadata) -> ModelFlag:
    present = rows.present_files
    contents = [row.content for row in present if row.content and row.hashed_at]
    conditions = {
        ModelFlag.METADATA: any(record.priority >= SourcePriority.CIVITAI for record in rows.all_source_metadata),
        ModelFlag.NOTES: bool(metadata.notes),
        ModelFlag.IMAGES: bool(rows.images),
        ModelFlag.PICKLE: any(row.kind == FileFormat.PICKLE for row in present),
        ModelFlag.DUPLICATE: len(set(contents)) < len(contents),
        ModelFlag.HASHED: bool(present) and all(row.hashed_at for row in present),
        ModelFlag.PROBLEM: any(row.problem for row in present),
        ModelFlag.WORDS: bool(metadata.trained_words),
        ModelFlag.TAGS: bool(metadata.tags),
    }
    return ModelFlag(sum(flag for flag, is_set in conditions.items() if is_set))


def _nsfw_level(metadata: Metadata, rows: ModelRows) -> int:
    """Return the level that a source gives; otherwise the union of the levels of all images."""
    if metadata.nsfw_level is not None:
        return metadata.nsfw_level
    level = 0
    for row in rows.images:
        level |= row.nsfw_level
    return level


def _newest_at(rows: ModelRows) -> int:
    """Return when the newest version on disk was published, in ms; if unknown, when the newest file was written."""
    local = {row.version_id for row in rows.present_files}
    published = (record.metadata.published_at for version_id in local for record in rows.source_metadata[version_id])
    times = [time_ms for text in published if text and (time_ms := _parse_time_ms(text))]
    written = [row.mtime_ns // 1_000_000 for row in rows.present_files or rows.files]
    return max(times or written, default=0)


def _parse_time_ms(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
        return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _count(stats: Mapping[str, Any], name: str) -> int:
    value = stats.get(name)
    return value if type(value) is int and 0 <= value < MAX_SAFE_INTEGER else 0


def _detail_row(model_id: int, rows: ModelRows, merged: MergedMetadata) -> dict[str, Any]:
    metadata = merged.metadata
    stems = (row.name.rpartition(".")[0] for row in rows.present_files)
    texts = (metadata.name, *metadata.tags, *metadata.trained_words, metadata.notes, metadata.creator, *stems)
    return {
        "model_id": model_id,
        "facts": dump_json(replace(metadata, images=()).to_json()),
        "sources": dump_json(dict(merged.sources)),
        "search_text": build_search_text(texts),
    }


def _tag_rows(model_id: int, metadata: Metadata) -> Iterator[dict[str, Any]]:
    # Of tags that are equal when normalized, the first spelling stays.
    labels = {normalize(label)[:MAX_TAG_KEY_CHARS]: label for label in reversed(metadata.tags)}
    yield from ({"model_id": model_id, "key": key, "label": label} for key, label in labels.items() if key)


def _version_rows(rows: ModelRows) -> Iterator[dict[str, Any]]:
    for row in rows.versions:
        metadata = merge_metadata(rows.source_metadata[row.id]).metadata
        stored = replace(metadata, images=(), versions=(), description=None)
        yield {"key": row.id, "facts": dump_json(stored.to_json())}


def _normalize_or_none(text: str | None) -> str | None:
    return normalize(text) if text else None
