"""Owns the taking together of versions and models that turn out to be the same, and the forgetting of empty ones.

Used by ``stores.library.placing``, ``recording`` and ``hashing``, inside their transactions. Nothing that a person has
written is ever lost here.
"""

import json
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from stores.library.rows import dump, insert_one, values_of
from stores.library.tables import claims, details, edits, files, hashes, images, models, tags, versions

NOTES = "notes"
BETWEEN_NOTES = "\n\n"


def model_of(connection: Connection, version_id: int) -> int:
    """The model of a version."""
    return int(connection.execute(select(versions.c.model_id).where(versions.c.id == version_id)).scalar_one())


def leave_behind(connection: Connection, row: Any, now_ms: int) -> None:
    """Keep what a file was, now that its place holds another: its content may come back elsewhere."""
    again = select(func.count()).where(files.c.content == row.content, files.c.id != row.id)
    if connection.execute(again).scalar_one():
        return
    ghost = insert_one(connection, files, **values_of(row, path=None, missing_since=now_ms))
    connection.execute(update(hashes).where(hashes.c.file_id == row.id).values(file_id=ghost))


def vacate(connection: Connection, row: Any, now_ms: int) -> None:
    """Make room at the place of a file that is no longer there."""
    if row.content is not None:
        connection.execute(update(files).where(files.c.id == row.id).values(path=None, missing_since=now_ms))
    else:
        remove_file(connection, row.id, row.version_id)


def remove_file(connection: Connection, file_id: int, version_id: int) -> None:
    """Forget a file, and its version if nothing else speaks for it."""
    connection.execute(delete(hashes).where(hashes.c.file_id == file_id))
    connection.execute(delete(files).where(files.c.id == file_id))
    if not has_files(connection, version_id) and not _has_words(connection, version_id):
        _remove_version(connection, version_id)


def move_file(connection: Connection, file_id: int, from_version: int, to_version: int) -> None:
    """Let a file belong to the version of its content; nothing that was said or written about it is lost."""
    connection.execute(update(files).where(files.c.id == file_id).values(version_id=to_version))
    if has_files(connection, from_version):
        return
    from_model, to_model = model_of(connection, from_version), model_of(connection, to_version)
    merge_versions(connection, from_version, to_version)
    if from_model != to_model and not _has_local_versions(connection, from_model):
        merge_models(connection, from_model, to_model)


def _remove_version(connection: Connection, version_id: int) -> None:
    model_id = model_of(connection, version_id)
    connection.execute(delete(claims).where(claims.c.version_id == version_id))
    connection.execute(delete(images).where(images.c.version_id == version_id, images.c.slot.is_not(None)))
    connection.execute(delete(versions).where(versions.c.id == version_id))
    if not _has_local_versions(connection, model_id):
        connection.execute(delete(versions).where(versions.c.model_id == model_id))
        _remove_model(connection, model_id)


def _remove_model(connection: Connection, model_id: int) -> None:
    for table, column in ((models, models.c.id), (details, details.c.model_id), (tags, tags.c.model_id)):
        connection.execute(delete(table).where(column == model_id))


def merge_versions(connection: Connection, gone: int, kept: int) -> None:
    """What was said of one version is now said of the other, where it says nothing newer itself."""
    known = {(row.source, row.rank): row.time_ms for row in _claims(connection, kept)}
    for row in _claims(connection, gone):
        if known.get((row.source, row.rank), -1) < row.time_ms:
            same = (claims.c.version_id == kept) & (claims.c.source == row.source) & (claims.c.rank == row.rank)
            connection.execute(delete(claims).where(same))
            connection.execute(claims.insert().values(**values_of(row, version_id=kept)))
    connection.execute(delete(claims).where(claims.c.version_id == gone))
    slots = select(images.c.slot).where(images.c.version_id == kept, images.c.slot.is_not(None))
    doubled = (images.c.version_id == gone) & images.c.slot.in_(list(connection.execute(slots).scalars()))
    connection.execute(delete(images).where(doubled))
    model_id = model_of(connection, kept)
    moved = update(images).where(images.c.version_id == gone).values(version_id=kept, model_id=model_id)
    connection.execute(moved)
    connection.execute(delete(versions).where(versions.c.id == gone))


def _claims(connection: Connection, version_id: int) -> list[Any]:
    return list(connection.execute(select(claims).where(claims.c.version_id == version_id)))


def merge_models(connection: Connection, gone: int, kept: int) -> None:
    """Whatever people wrote about one model they wrote about the other; of two notes both stay."""
    known = {row.field: row for row in connection.execute(select(edits).where(edits.c.model_id == kept))}
    for row in connection.execute(select(edits).where(edits.c.model_id == gone)).all():
        here = (edits.c.model_id == kept) & (edits.c.field == row.field)
        if row.field not in known:
            connection.execute(edits.insert().values(**values_of(row, model_id=kept)))
        elif row.field == NOTES and row.value != known[NOTES].value:
            connection.execute(update(edits).where(here).values(value=_both(known[NOTES].value, row.value)))
    connection.execute(delete(edits).where(edits.c.model_id == gone))
    connection.execute(update(images).where(images.c.model_id == gone).values(model_id=kept))
    connection.execute(delete(versions).where(versions.c.model_id == gone))
    _remove_model(connection, gone)


def has_files(connection: Connection, version_id: int) -> bool:
    """Whether a version has a file, here or gone."""
    query = select(files.c.id).where(files.c.version_id == version_id).limit(1)
    return connection.execute(query).first() is not None


def has_versions(connection: Connection, model_id: int) -> bool:
    """Whether a model has a version, here or not."""
    query = select(versions.c.id).where(versions.c.model_id == model_id).limit(1)
    return connection.execute(query).first() is not None


def _has_local_versions(connection: Connection, model_id: int) -> bool:
    query = select(files.c.id).join(versions, versions.c.id == files.c.version_id)
    return connection.execute(query.where(versions.c.model_id == model_id).limit(1)).first() is not None


def _has_words(connection: Connection, version_id: int) -> bool:
    """Whether a person has written of the version's model, or given it pictures."""
    model_id = model_of(connection, version_id)
    written = select(edits.c.model_id).where(edits.c.model_id == model_id).limit(1)
    given = select(images.c.id).where(images.c.model_id == model_id, images.c.slot.is_(None)).limit(1)
    return connection.execute(written).first() is not None or connection.execute(given).first() is not None


def _both(kept: str, more: str) -> str:
    """Two notes, each JSON, as one."""
    return dump(BETWEEN_NOTES.join((json.loads(kept), json.loads(more))))
