"""Writes what a scan found out about one file: metadata of its sources, preview images, problems."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from schemas.library.metadata import ImageMetadata, Source, SourceMetadata
from schemas.library.scan_records import CIVITDL_SLOT, PREVIEW_SLOT, FileProblem, ScannedFile
from schemas.library.text_normalization import fold_file_name
from stores.library.index.transaction import IndexTransaction
from stores.library.rows import dump_json, insert_row, insert_rows, source_metadata_to_row
from stores.library.tables import files, images, problems, source_metadata

# The columns of an image's inspection; they are valid while the bytes are the same.
_INSPECTED_COLUMNS = ("width", "height", "blurhash")
# Compiled once: each runs for every file of a scan.
_SAME_SOURCE = (
    (source_metadata.c.version_id == bindparam("v"))
    & (source_metadata.c.source == bindparam("s"))
    & (source_metadata.c.rank == bindparam("r"))
)
_STORED_TIMES = select(source_metadata.c.source, source_metadata.c.rank, source_metadata.c.time_ms).where(
    source_metadata.c.version_id == bindparam("v")
)
_STORED_PREVIEWS = select(images).where(images.c.version_id == bindparam("v"), images.c.slot.is_not(None))
_DELETE_PROBLEMS = delete(problems).where(problems.c.root == bindparam("r"), problems.c.path == bindparam("p"))


def write_source_metadata(
    transaction: IndexTransaction, version_id: int, records: Sequence[SourceMetadata], file_id: int | None = None
) -> None:
    """Replace the metadata of each source that has some now; keep the metadata of sources that have none.

    Only a header that was read and says nothing deletes what it said before. If the version has other files besides
    ``file_id``, the newer metadata of each source wins, so that the order in which files are scanned does not matter.
    """
    stored = {(row.source, row.rank): row.time_ms for row in transaction.execute(_STORED_TIMES, {"v": version_id})}
    rows = [source_metadata_to_row(version_id, record) for record in records if not record.metadata.is_empty]
    replaced = [(row["source"], row["rank"]) for row in rows]
    if stored and file_id is not None and _has_other_files(transaction, version_id, file_id):
        rows = [row for row in rows if row["time_ms"] >= stored.get((row["source"], row["rank"]), -1)]
        replaced = [(row["source"], row["rank"]) for row in rows]
    elif stored:
        replaced += [
            (record.source, int(record.priority))
            for record in records
            if record.metadata.is_empty and record.source == Source.HEADER
        ]
    _delete_source_metadata(transaction, version_id, [key for key in replaced if key in stored])
    insert_rows(transaction.connection, source_metadata, rows)


def _has_other_files(transaction: IndexTransaction, version_id: int, file_id: int) -> bool:
    others = (files.c.version_id == version_id) & (files.c.id != file_id) & files.c.missing_since.is_(None)
    return transaction.execute(select(files.c.id).where(others).limit(1)).first() is not None


def _delete_source_metadata(transaction: IndexTransaction, version_id: int, keys: Sequence[tuple[str, int]]) -> None:
    if keys:
        parameters = [{"v": version_id, "s": source, "r": rank} for source, rank in keys]
        transaction.execute(delete(source_metadata).where(_SAME_SOURCE), parameters)


def write_previews(transaction: IndexTransaction, version_id: int, scanned: ScannedFile) -> None:
    """Write the images next to a model file. An image keeps its id while its slot is the same."""
    stored = {row.slot: row for row in transaction.execute(_STORED_PREVIEWS, {"v": version_id})}
    if not stored and not scanned.images:
        return
    model_id = transaction.model_of(version_id)
    for order, image in enumerate(scanned.images):
        location = {"root": scanned.file.root, "path": image.path, "stamp": image.stamp, "sort_order": order}
        columns = _image_columns(image.metadata)
        row = stored.pop(image.slot, None)
        if row is None:
            owner = {"model_id": model_id, "version_id": version_id}
            new = {"slot": image.slot, "created_at": transaction.now_ms}
            insert_row(transaction.connection, images, **columns, **location, **owner, **new)
            continue
        inspected: dict[str, Any] = {"thumb_key": None}
        if row.stamp == image.stamp:
            known = {name: getattr(row, name) for name in _INSPECTED_COLUMNS if columns[name] is None}
            inspected = known | {"thumb_key": row.thumb_key}
        transaction.execute(update(images).where(images.c.id == row.id).values(**columns | inspected | location))
    if stored:
        _delete_previews(transaction, version_id, scanned, list(stored.values()))


def _delete_previews(transaction: IndexTransaction, version_id: int, scanned: ScannedFile, rows: Sequence[Any]) -> None:
    """Delete previews that are no longer next to this file, unless they are next to another file of the version."""
    query = select(files.c.root, files.c.path).where(files.c.version_id == version_id, files.c.missing_since.is_(None))
    this = (scanned.file.root, scanned.file.path)
    rows_of_files = transaction.execute(query).all()
    stems = [(row.root, row.path.rpartition(b".")[0]) for row in rows_of_files if (row.root, row.path) != this]
    deleted = [row.id for row in rows if not any(_is_beside(row, root, stem) for root, stem in stems)]
    transaction.execute(delete(images).where(images.c.id.in_(deleted)))


def _is_beside(row: Any, root: str, stem: bytes) -> bool:
    """Whether an image is one of the file ``stem``; images in a civitdl folder belong to every file beside that."""
    if row.root != root:
        return False
    folder = row.path.rpartition(b"/")[0]
    if row.slot.startswith(CIVITDL_SLOT):
        return bool(folder.rpartition(b"/")[0] == stem.rpartition(b"/")[0])
    # A name that only begins with the stem belongs to another model: "ink2.png" does not belong to "ink".
    suffix = row.slot.removeprefix(PREVIEW_SLOT)
    return bool(fold_file_name(os.fsdecode(row.path)) == fold_file_name(os.fsdecode(stem)) + suffix)


def _image_columns(metadata: ImageMetadata) -> dict[str, Any]:
    return {
        "width": metadata.width,
        "height": metadata.height,
        "nsfw_level": metadata.nsfw_level,
        "blurhash": metadata.blurhash,
        "prompt": metadata.prompt,
        "params": dump_json(dict(metadata.params)),
    }


def write_problems(transaction: IndexTransaction, scanned: ScannedFile) -> None:
    """Replace the problems of a file and of its companions."""
    root, path = scanned.file.root, scanned.file.path
    transaction.execute(_DELETE_PROBLEMS, {"r": root, "p": path})
    rows = [problem_to_row(root, path, problem, transaction.now_ms) for problem in scanned.problems]
    insert_rows(transaction.connection, problems, rows)


def problem_to_row(root: str, path: bytes, problem: FileProblem, now_ms: int) -> Mapping[str, Any]:
    """Convert to a row of ``library_problems``; ``path`` is that of the model file."""
    return {
        "root": root,
        "path": path,
        "subject": problem.subject,
        "code": problem.code,
        "message": problem.message,
        "found_at": now_ms,
    }
