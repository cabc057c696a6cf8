"""Decides which version and which model a file belongs to: by its content first, then by its Civitai metadata."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, update

from schemas.library.metadata import Metadata, Source, SourceMetadata, merge_metadata
from schemas.library.scan_records import ScannedFile
from schemas.library.text_normalization import sort_key
from stores.library.index.model_merge import has_files, has_local_versions, merge_models, merge_versions, move_file
from stores.library.index.transaction import IndexTransaction
from stores.library.rows import insert_row, insert_rows, source_metadata_from_row
from stores.library.tables import files, images, models, source_metadata, versions

# Compiled once: each may run for every file of a scan.
_OLDEST_MODEL = {
    column.name: select(func.min(models.c.id)).where(column == bindparam("value"))
    for column in (models.c.civitai_id, models.c.group_key)
}


# Sources that a single file is.
_OF_ONE_FILE = (Source.FILE_NAME, Source.HEADER)


class TrainingEpoch(NamedTuple):
    """The epoch of a file within a training run, and the key that the files of the run share; None if it has none.

    A key without a number is that of a model of several files, which are one version.
    """

    number: int | None
    group_key: str | None


def models_of_files(connection: Connection, file_ids: Iterable[int]) -> set[int]:
    """Return the models that have these files."""
    query = select(versions.c.model_id).join(files, files.c.version_id == versions.c.id)
    return set(connection.execute(query.where(files.c.id.in_(list(file_ids)))).scalars())


def find_or_create_version(
    transaction: IndexTransaction, records: Iterable[SourceMetadata], epoch: TrainingEpoch
) -> int:
    """Return the version for a new file. It is provisional until the file is hashed."""
    metadata = merge_metadata(records).metadata
    model_id = _find_or_create_model(transaction, metadata, epoch.group_key)
    existing = _civitai_version_of(transaction, model_id, metadata.civitai_version_id)
    if existing is None and epoch.number is None and epoch.group_key is not None:
        existing = _oldest_version(transaction, model_id)
    if existing is not None:
        return existing
    new = {"civitai_id": metadata.civitai_version_id, "epoch": epoch.number, "first_seen": transaction.now_ms}
    return insert_row(transaction.connection, versions, model_id=model_id, facts="{}", **new)


def version_of_parts(transaction: IndexTransaction, row: Any, scanned: ScannedFile) -> int:
    """Return the version of a part of a model of several files, and move the file there.

    A folder that was moved keeps its model, and so does one that an earlier release has indexed as one.
    """
    current, key = int(row.version_id), scanned.group_key
    model_id = _oldest_model(transaction, "group_key", key)
    target = None if model_id is None else _oldest_version(transaction, model_id)
    if target == current:
        return current
    others = (files.c.version_id == current) & (files.c.id != row.id) & files.c.missing_since.is_(None)
    has_others = transaction.execute(select(files.c.id).where(others).limit(1)).first() is not None
    if target is None and (scanned.moved_from is not None or not has_others):
        own = models.c.id == transaction.model_of(current)
        transaction.execute(update(models).where(own).values(group_key=key))
        target = current
    if not has_others:
        # From the time when the part was a separate model; its current metadata are written after this.
        read_before = (source_metadata.c.version_id == current) & source_metadata.c.source.in_(_OF_ONE_FILE)
        transaction.execute(delete(source_metadata).where(read_before))
    if target is None:
        target = find_or_create_version(transaction, scanned.source_metadata, TrainingEpoch(None, key))
    if has_others and target != current:
        # The metadata of the others, and edits of their model, stay there.
        transaction.execute(update(files).where(files.c.id == row.id).values(version_id=target))
        transaction.mark_changed(transaction.model_of(target))
    elif target != current:
        move_file(transaction, row, target)
    return target


def _oldest_version(transaction: IndexTransaction, model_id: int) -> int | None:
    query = select(func.min(versions.c.id)).where(versions.c.model_id == model_id)
    version_id: int | None = transaction.execute(query).scalar_one()
    return version_id


def _find_or_create_model(transaction: IndexTransaction, metadata: Metadata, group_key: str | None) -> int:
    model_id = _oldest_model(transaction, "civitai_id", metadata.civitai_id)
    if model_id is None:
        model_id = _oldest_model(transaction, "group_key", group_key)
        if model_id is not None and metadata.civitai_id is not None:
            # The training run may have been attached to another model of Civitai.
            attached = _civitai_id(transaction, model_id)
            model_id = model_id if attached in (None, metadata.civitai_id) else None
    if model_id is not None:
        return model_id
    return _create_model(transaction, metadata, group_key)


def _create_model(transaction: IndexTransaction, metadata: Metadata, group_key: str | None) -> int:
    """Insert a model with placeholders; its columns are computed when the read model is rebuilt."""
    name = metadata.name or "?"
    zeros = dict.fromkeys(("nsfw_level", "downloads", "likes", "newest_at", "size_bytes", "files", "flags"), 0)
    texts = {"type": "Other", "type_key": "other", "category": "Other", "category_key": "other"}
    keys = {"name_key": sort_key(name), "civitai_id": metadata.civitai_id, "group_key": group_key}
    return insert_row(transaction.connection, models, name=name, **keys, **texts, **zeros)


def version_for_new_content(transaction: IndexTransaction, row: Any) -> int:
    """Return a version for a file whose content has changed, with the metadata of its current version."""
    query = select(source_metadata).where(source_metadata.c.version_id == row.version_id)
    records = [source_metadata_from_row(source) for source in transaction.execute(query)]
    joined = versions.join(models, models.c.id == versions.c.model_id)
    current = select(versions.c.epoch, models.c.group_key).select_from(joined).where(versions.c.id == row.version_id)
    old = transaction.execute(current).one()
    epoch = TrainingEpoch(old.epoch, old.group_key if old.epoch is not None else None)
    return find_or_create_version(transaction, records, epoch)


def _oldest_model(transaction: IndexTransaction, column: str, value: Any) -> int | None:
    if value is None:
        return None
    model_id: int | None = transaction.execute(_OLDEST_MODEL[column], {"value": value}).scalar_one()
    return model_id


def _civitai_id(transaction: IndexTransaction, model_id: int) -> int | None:
    query = select(models.c.civitai_id).where(models.c.id == model_id)
    civitai_id: int | None = transaction.execute(query).scalar_one()
    return civitai_id


def _civitai_version_of(transaction: IndexTransaction, model_id: int, civitai_version_id: int | None) -> int | None:
    if civitai_version_id is None:
        return None
    same = (versions.c.model_id == model_id) & (versions.c.civitai_id == civitai_version_id)
    version_id: int | None = transaction.execute(select(func.min(versions.c.id)).where(same)).scalar_one()
    return version_id


def attach_to_civitai_model(transaction: IndexTransaction, version_id: int) -> None:
    """Move a version to the model that its Civitai metadata names, and list that model's versions.

    Does nothing if the version has no Civitai metadata.
    """
    query = select(source_metadata).where(source_metadata.c.version_id == version_id)
    metadata = merge_metadata(map(source_metadata_from_row, transaction.execute(query))).metadata
    if metadata.civitai_id is None and metadata.civitai_version_id is None:
        return
    model_id = transaction.model_of(version_id)
    transaction.mark_changed(model_id)
    if metadata.civitai_id not in (None, _civitai_id(transaction, model_id)):
        model_id = _move_to_civitai_model(transaction, version_id, model_id, metadata)
        transaction.mark_changed(model_id)
    _set_civitai_version(transaction, model_id, version_id, metadata.civitai_version_id)
    _list_civitai_versions(transaction, model_id, metadata)


def _move_to_civitai_model(transaction: IndexTransaction, version_id: int, model_id: int, metadata: Metadata) -> int:
    """Relabel the version's model, merge it into the named one, or move only this version if the model has others."""
    named = _oldest_model(transaction, "civitai_id", metadata.civitai_id)
    relabel = update(models).values(civitai_id=metadata.civitai_id)
    is_only_version = not has_local_versions(transaction, model_id, ignored_version=version_id, present=True)
    if named is None and (is_only_version or _civitai_id(transaction, model_id) is None):
        _drop_stale_civitai_versions(transaction, model_id)
        transaction.execute(relabel.where(models.c.id == model_id))
        return model_id
    if named is None:
        named = _create_model(transaction, metadata, None)
    elif is_only_version:
        _drop_stale_civitai_versions(transaction, model_id)
        target = merge_models(transaction, model_id, named)
        transaction.execute(relabel.where(models.c.id == target))
        return target
    transaction.execute(update(versions).where(versions.c.id == version_id).values(model_id=named))
    transaction.execute(update(images).where(images.c.version_id == version_id).values(model_id=named))
    return named


def _drop_stale_civitai_versions(transaction: IndexTransaction, model_id: int) -> None:
    """Delete versions that only an earlier Civitai listing named: those without files, images and metadata."""
    stale = (versions.c.model_id == model_id) & versions.c.civitai_id.is_not(None)
    for column in (source_metadata.c.version_id, files.c.version_id, images.c.version_id):
        stale &= versions.c.id.not_in(select(column).where(column.is_not(None)))
    transaction.execute(delete(versions).where(stale))


def _set_civitai_version(
    transaction: IndexTransaction, model_id: int, version_id: int, civitai_version_id: int | None
) -> None:
    """Set the Civitai id of a version, and merge the empty row that a listing made for it."""
    this = versions.c.id == version_id
    current = transaction.execute(select(versions.c.civitai_id).where(this)).scalar_one()
    if civitai_version_id in (None, current):
        return
    twin = _civitai_version_of(transaction, model_id, civitai_version_id)
    if twin is not None and not has_files(transaction, twin):
        merge_versions(transaction, twin, version_id)
    transaction.execute(update(versions).where(this).values(civitai_id=civitai_version_id))


def _list_civitai_versions(transaction: IndexTransaction, model_id: int, metadata: Metadata) -> None:
    """Insert a row for each version that Civitai lists and the library does not have."""
    if not metadata.versions:
        return
    query = select(versions.c.civitai_id).where(versions.c.model_id == model_id)
    known = set(transaction.execute(query).scalars())
    new = dict.fromkeys(version.id for version in metadata.versions if version.id not in known)
    row = {"model_id": model_id, "facts": "{}", "epoch": None, "first_seen": 0}
    insert_rows(transaction.connection, versions, [row | {"civitai_id": civitai_id} for civitai_id in new])
