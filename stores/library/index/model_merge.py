"""Moves files between versions, merges versions and models that turn out to be the same, and deletes empty ones.

User edits and user images are never lost: they move to the model or version that stays. What else belongs to a deleted
row is deleted with it by the database (``ON DELETE CASCADE``).
"""

import json
from typing import Any

from sqlalchemy import delete, func, select, update

from stores.library.index.transaction import IndexTransaction
from stores.library.rows import dump_json, insert_row, row_values
from stores.library.tables import files, hashes, images, models, problems, source_metadata, user_edits, versions

NOTES = "notes"
NOTES_SEPARATOR = "\n\n"


def keep_tombstone(transaction: IndexTransaction, row: Any) -> None:
    """Keep a file's old content as a tombstone, now that its path has other content: it may come back elsewhere."""
    copies = select(func.count()).where(files.c.content == row.content, files.c.id != row.id)
    if transaction.execute(copies).scalar_one():
        return
    values = row_values(row, path=None, missing_since=transaction.now_ms)
    tombstone = insert_row(transaction.connection, files, **values)
    transaction.execute(update(hashes).where(hashes.c.file_id == row.id).values(file_id=tombstone))


def release_path(transaction: IndexTransaction, row: Any) -> None:
    """Free the path of a file that another file now has. The scan may find it elsewhere later."""
    delete_problems(transaction, row)
    values = {"path": None, "missing_since": transaction.now_ms}
    transaction.execute(update(files).where(files.c.id == row.id).values(**values))


def delete_file(transaction: IndexTransaction, row: Any) -> None:
    """Delete a file; its version too if that has no other file, and the model if that has no other version with files.

    A model with user edits or user images stays.
    """
    delete_problems(transaction, row)
    transaction.execute(delete(files).where(files.c.id == row.id))
    model_id = transaction.model_of(row.version_id)
    if has_files(transaction, row.version_id) or _has_user_content(transaction, model_id):
        return
    transaction.execute(delete(versions).where(versions.c.id == row.version_id))
    if not has_local_versions(transaction, model_id):
        transaction.execute(delete(models).where(models.c.id == model_id))


def delete_problems(transaction: IndexTransaction, row: Any) -> None:
    """Delete the problems of the file that is, or was, at the path of ``row``."""
    if row.path is not None:
        at_path = (problems.c.root == row.root) & (problems.c.path == row.path)
        transaction.execute(delete(problems).where(at_path))


def move_file(transaction: IndexTransaction, row: Any, to_version: int) -> None:
    """Move a file to the version of its content, with what is known about it.

    Its old version is merged into the new one if no file is left there, and the models likewise.
    """
    transaction.execute(update(files).where(files.c.id == row.id).values(version_id=to_version))
    from_model, to_model = transaction.model_of(row.version_id), transaction.model_of(to_version)
    transaction.mark_changed(from_model)
    transaction.mark_changed(to_model)
    if has_files(transaction, row.version_id):
        copy_source_metadata(transaction, row.version_id, to_version)
        if not has_files(transaction, row.version_id, present=True):
            _move_previews(transaction, row.version_id, to_version)
        return
    merge_versions(transaction, row.version_id, to_version)
    if from_model != to_model and not has_local_versions(transaction, from_model):
        merge_models(transaction, from_model, to_model)


def copy_source_metadata(transaction: IndexTransaction, from_version: int, to_version: int) -> None:
    """Copy metadata to another version, except where that has newer metadata of the same source."""
    stored = {(row.source, row.rank): row.time_ms for row in _source_rows(transaction, to_version)}
    for row in _source_rows(transaction, from_version):
        if stored.get((row.source, row.rank), -1) < row.time_ms:
            same = (
                (source_metadata.c.version_id == to_version)
                & (source_metadata.c.source == row.source)
                & (source_metadata.c.rank == row.rank)
            )
            transaction.execute(delete(source_metadata).where(same))
            transaction.execute(source_metadata.insert().values(**row_values(row, version_id=to_version)))


def _source_rows(transaction: IndexTransaction, version_id: int) -> list[Any]:
    return list(transaction.execute(select(source_metadata).where(source_metadata.c.version_id == version_id)))


def merge_versions(transaction: IndexTransaction, merged: int, target: int) -> None:
    """Move what belongs to version ``merged`` to version ``target``, and delete ``merged``. It must have no files."""
    copy_source_metadata(transaction, merged, target)
    _move_previews(transaction, merged, target)
    user_images = (images.c.version_id == merged) & images.c.slot.is_(None)
    owner = {"version_id": target, "model_id": transaction.model_of(target)}
    transaction.execute(update(images).where(user_images).values(**owner))
    _fill_missing(transaction, versions, merged, target, ("civitai_id", "epoch"))
    transaction.execute(delete(versions).where(versions.c.id == merged))


def _move_previews(transaction: IndexTransaction, from_version: int, to_version: int) -> None:
    """Move preview images to another version, except those in slots that it has already."""
    query = select(images.c.slot).where(images.c.version_id == to_version, images.c.slot.is_not(None))
    taken = list(transaction.execute(query).scalars())
    moved = (images.c.version_id == from_version) & images.c.slot.is_not(None) & images.c.slot.not_in(taken)
    owner = {"version_id": to_version, "model_id": transaction.model_of(to_version)}
    transaction.execute(update(images).where(moved).values(**owner))


def _fill_missing(transaction: IndexTransaction, table: Any, merged: int, target: int, names: tuple[str, ...]) -> None:
    """Take the columns that the target row lacks from the merged one."""
    old = transaction.execute(select(table).where(table.c.id == merged)).one()
    new = transaction.execute(select(table).where(table.c.id == target)).one()
    missing = {name: getattr(old, name) for name in names if getattr(new, name) is None}
    if missing:
        transaction.execute(update(table).where(table.c.id == target).values(**missing))


def merge_models(transaction: IndexTransaction, first: int, second: int) -> int:
    """Merge two models into the one with the smaller id, and return that id.

    Of user edits to the same field the newer one stays; notes are joined.
    """
    target, merged = sorted((first, second))
    _merge_edits(transaction, merged, target)
    _move_versions(transaction, merged, target)
    transaction.execute(update(images).where(images.c.model_id == merged).values(model_id=target))
    _fill_missing(transaction, models, merged, target, ("civitai_id", "group_key"))
    transaction.execute(delete(models).where(models.c.id == merged))
    transaction.mark_changed(target)
    return target


def _merge_edits(transaction: IndexTransaction, merged: int, target: int) -> None:
    query = select(user_edits).where(user_edits.c.model_id == target)
    stored = {row.field: row for row in transaction.execute(query)}
    for row in transaction.execute(select(user_edits).where(user_edits.c.model_id == merged)).all():
        same_field = (user_edits.c.model_id == target) & (user_edits.c.field == row.field)
        ours = stored.get(row.field)
        if ours is None:
            transaction.execute(user_edits.insert().values(**row_values(row, model_id=target)))
        elif row.field == NOTES:
            values = {"value": _join_notes(ours.value, row.value), "edited_at": max(ours.edited_at, row.edited_at)}
            transaction.execute(update(user_edits).where(same_field).values(**values))
        elif row.edited_at > ours.edited_at:
            values = {"value": row.value, "edited_at": row.edited_at}
            transaction.execute(update(user_edits).where(same_field).values(**values))
    transaction.execute(delete(user_edits).where(user_edits.c.model_id == merged))


def _join_notes(first_json: str, second_json: str) -> str:
    """Join two notes, each JSON, into one; a note that the first contains already is not repeated."""
    first, second = str(json.loads(first_json)), str(json.loads(second_json))
    if second in first.split(NOTES_SEPARATOR):
        return first_json
    return dump_json(NOTES_SEPARATOR.join(filter(None, (first, second))))


def _move_versions(transaction: IndexTransaction, merged: int, target: int) -> None:
    """Move versions to the model that stays, but those that both list from Civitai and that hold nothing else."""
    query = select(versions.c.civitai_id).where(versions.c.model_id == target)
    listed = set(transaction.execute(query).scalars())
    for row in transaction.execute(select(versions).where(versions.c.model_id == merged)).all():
        version = versions.c.id == row.id
        if (
            row.civitai_id in listed
            and not has_files(transaction, row.id)
            and not _has_user_images(transaction, row.id)
        ):
            transaction.execute(delete(versions).where(version))
        else:
            transaction.execute(update(versions).where(version).values(model_id=target))


def _has_user_images(transaction: IndexTransaction, version_id: int) -> bool:
    query = select(images.c.id).where(images.c.version_id == version_id, images.c.slot.is_(None)).limit(1)
    return transaction.execute(query).first() is not None


def has_files(transaction: IndexTransaction, version_id: int, *, present: bool = False) -> bool:
    """Whether a version has a file, tombstones included; with ``present`` one that is on disk."""
    query = select(files.c.id).where(files.c.version_id == version_id).limit(1)
    query = query.where(files.c.missing_since.is_(None)) if present else query
    return transaction.execute(query).first() is not None


def has_local_versions(
    transaction: IndexTransaction, model_id: int, *, ignored_version: int = 0, present: bool = False
) -> bool:
    """Whether a model has a version with a file, tombstones included; with ``present`` one that is on disk."""
    query = select(files.c.id).join(versions, versions.c.id == files.c.version_id)
    query = query.where(versions.c.model_id == model_id, versions.c.id != ignored_version).limit(1)
    query = query.where(files.c.missing_since.is_(None)) if present else query
    return transaction.execute(query).first() is not None


def _has_user_content(transaction: IndexTransaction, model_id: int) -> bool:
    """Whether a model has user edits or user images."""
    edit = select(user_edits.c.model_id).where(user_edits.c.model_id == model_id).limit(1)
    image = select(images.c.id).where(images.c.model_id == model_id, images.c.slot.is_(None)).limit(1)
    return transaction.execute(edit).first() is not None or transaction.execute(image).first() is not None
