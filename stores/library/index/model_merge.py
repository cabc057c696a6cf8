"""The taking together of versions and models that turn out to be the same, and the forgetting of empty ones.

Nothing that a person has
written is ever lost here.
"""

import json
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from stores.library.rows import dump_json, insert_row, row_values
from stores.library.tables import claims, details, edits, files, hashes, images, models, problems, tags, versions

NOTES = "notes"
BETWEEN_NOTES = "\n\n"


def model_of(connection: Connection, version_id: int) -> int:
    """The model of a version."""
    return int(connection.execute(_MODEL_OF, {"v": version_id}).scalar_one())


def leave_behind(connection: Connection, row: Any, now_ms: int) -> None:
    """Keep what a file was, now that its place holds another: its content may come back elsewhere."""
    again = select(func.count()).where(files.c.content == row.content, files.c.id != row.id)
    if connection.execute(again).scalar_one():
        return
    ghost = insert_row(connection, files, **row_values(row, path=None, missing_since=now_ms))
    connection.execute(update(hashes).where(hashes.c.file_id == row.id).values(file_id=ghost))


def vacate(connection: Connection, row: Any, now_ms: int) -> None:
    """Make room at the place of a file that is no longer there; where it is now may be found later in the scan."""
    forget_problems(connection, row)
    connection.execute(update(files).where(files.c.id == row.id).values(path=None, missing_since=now_ms))


def remove_file(connection: Connection, row: Any) -> None:
    """Forget a file, and its version if nothing else speaks for it."""
    forget_problems(connection, row)
    connection.execute(delete(hashes).where(hashes.c.file_id == row.id))
    connection.execute(delete(files).where(files.c.id == row.id))
    if not has_files(connection, row.version_id) and not _has_words(connection, row.version_id):
        _remove_version(connection, row.version_id)


def forget_problems(connection: Connection, row: Any) -> None:
    """What was wrong with a file at its place, now that it is there no more."""
    if row.path is not None:
        connection.execute(delete(problems).where(problems.c.root == row.root, problems.c.path == row.path))


def move_file(connection: Connection, row: Any, to_version: int, touched: set[int]) -> None:
    """Let a file belong to the version of its content; nothing that was said or written about it is lost.

    ``touched`` are the models that are to be refreshed: it is kept true.
    """
    connection.execute(update(files).where(files.c.id == row.id).values(version_id=to_version))
    from_model, to_model = model_of(connection, row.version_id), model_of(connection, to_version)
    touched |= {from_model, to_model}
    if has_files(connection, row.version_id):
        tell_on(connection, row.version_id, to_version)
        if not has_files(connection, row.version_id, present=True):
            _move_images(connection, row.version_id, to_version)
        return
    merge_versions(connection, row.version_id, to_version)
    if from_model != to_model and not has_local_versions(connection, from_model):
        join_models(connection, from_model, to_model, touched)


def _remove_version(connection: Connection, version_id: int) -> None:
    model_id = model_of(connection, version_id)
    connection.execute(delete(claims).where(claims.c.version_id == version_id))
    connection.execute(delete(images).where(images.c.version_id == version_id, images.c.slot.is_not(None)))
    connection.execute(delete(versions).where(versions.c.id == version_id))
    if not has_local_versions(connection, model_id):
        connection.execute(delete(versions).where(versions.c.model_id == model_id))
        _remove_model(connection, model_id)


def _remove_model(connection: Connection, model_id: int) -> None:
    for table, column in ((models, models.c.id), (details, details.c.model_id), (tags, tags.c.model_id)):
        connection.execute(delete(table).where(column == model_id))


def tell_on(connection: Connection, teller: int, listener: int) -> None:
    """Let what was said of one version be said of another as well, where that says nothing newer itself."""
    known = {(row.source, row.rank): row.time_ms for row in _claims(connection, listener)}
    for row in _claims(connection, teller):
        if known.get((row.source, row.rank), -1) < row.time_ms:
            same = (claims.c.version_id == listener) & (claims.c.source == row.source) & (claims.c.rank == row.rank)
            connection.execute(delete(claims).where(same))
            connection.execute(claims.insert().values(**row_values(row, version_id=listener)))


def merge_versions(connection: Connection, gone: int, kept: int) -> None:
    """What was said of one version is now said of the other; what it has is now the other's."""
    tell_on(connection, gone, kept)
    connection.execute(delete(claims).where(claims.c.version_id == gone))
    _move_images(connection, gone, kept)
    model_id = model_of(connection, kept)
    doubled = (images.c.version_id == gone) & images.c.slot.is_not(None)
    connection.execute(delete(images).where(doubled))
    given = update(images).where(images.c.version_id == gone).values(version_id=kept, model_id=model_id)
    connection.execute(given)
    old = connection.execute(select(versions).where(versions.c.id == gone)).one()
    new = connection.execute(select(versions).where(versions.c.id == kept)).one()
    missing = {name: getattr(old, name) for name in ("civitai_id", "epoch") if getattr(new, name) is None}
    if missing:
        connection.execute(update(versions).where(versions.c.id == kept).values(**missing))
    connection.execute(delete(versions).where(versions.c.id == gone))


def _move_images(connection: Connection, from_version: int, to_version: int) -> None:
    """Pictures beside the file go with it, but for those that it has already."""
    slots = select(images.c.slot).where(images.c.version_id == to_version, images.c.slot.is_not(None))
    taken = list(connection.execute(slots).scalars())
    free = (images.c.version_id == from_version) & images.c.slot.is_not(None) & images.c.slot.not_in(taken)
    place = {"version_id": to_version, "model_id": model_of(connection, to_version)}
    connection.execute(update(images).where(free).values(**place))


def _claims(connection: Connection, version_id: int) -> list[Any]:
    return list(connection.execute(select(claims).where(claims.c.version_id == version_id)))


def join_models(connection: Connection, one: int, other: int, touched: set[int]) -> int:
    """Two models are one: the older id stays, with all that people wrote about either; of two notes both stay.

    ``touched`` are the models that are to be refreshed: it is kept true.
    """
    kept, gone = sorted((one, other))
    _join_edits(connection, gone, kept)
    _join_versions(connection, gone, kept)
    connection.execute(update(images).where(images.c.model_id == gone).values(model_id=kept))
    old = connection.execute(select(models).where(models.c.id == gone)).one()
    new = connection.execute(select(models).where(models.c.id == kept)).one()
    missing = {name: getattr(old, name) for name in ("civitai_id", "group_key") if getattr(new, name) is None}
    if missing:
        connection.execute(update(models).where(models.c.id == kept).values(**missing))
    _remove_model(connection, gone)
    touched.discard(gone)
    touched.add(kept)
    return kept


def _join_edits(connection: Connection, gone: int, kept: int) -> None:
    known = {row.field: row for row in connection.execute(select(edits).where(edits.c.model_id == kept))}
    for row in connection.execute(select(edits).where(edits.c.model_id == gone)).all():
        here = (edits.c.model_id == kept) & (edits.c.field == row.field)
        ours = known.get(row.field)
        if ours is None:
            connection.execute(edits.insert().values(**row_values(row, model_id=kept)))
        elif row.field == NOTES:
            value, time = _both(ours.value, row.value), max(ours.edited_at, row.edited_at)
            connection.execute(update(edits).where(here).values(value=value, edited_at=time))
        elif row.edited_at > ours.edited_at:
            connection.execute(update(edits).where(here).values(value=row.value, edited_at=row.edited_at))
    connection.execute(delete(edits).where(edits.c.model_id == gone))


def _join_versions(connection: Connection, gone: int, kept: int) -> None:
    """The versions of both, but what the catalogue lists of both once."""
    listed = set(connection.execute(select(versions.c.civitai_id).where(versions.c.model_id == kept)).scalars())
    for row in connection.execute(select(versions).where(versions.c.model_id == gone)).all():
        here = versions.c.id == row.id
        if row.civitai_id in listed and not has_files(connection, row.id) and not _has_given(connection, row.id):
            connection.execute(delete(claims).where(claims.c.version_id == row.id))
            connection.execute(delete(images).where(images.c.version_id == row.id))
            connection.execute(delete(versions).where(here))
        else:
            connection.execute(update(versions).where(here).values(model_id=kept))


def _has_given(connection: Connection, version_id: int) -> bool:
    query = select(images.c.id).where(images.c.version_id == version_id, images.c.slot.is_(None)).limit(1)
    return connection.execute(query).first() is not None


def has_files(connection: Connection, version_id: int, *, present: bool = False) -> bool:
    """Whether a version has a file, here or gone; or one that is ``present``."""
    query = select(files.c.id).where(files.c.version_id == version_id).limit(1)
    query = query.where(files.c.missing_since.is_(None)) if present else query
    return connection.execute(query).first() is not None


def has_local_versions(connection: Connection, model_id: int, *, without: int = 0, present: bool = False) -> bool:
    """Whether a model has a version with a file, here or gone; one may be left out, by its id."""
    query = select(files.c.id).join(versions, versions.c.id == files.c.version_id)
    query = query.where(versions.c.model_id == model_id, versions.c.id != without).limit(1)
    query = query.where(files.c.missing_since.is_(None)) if present else query
    return connection.execute(query).first() is not None


def _has_words(connection: Connection, version_id: int) -> bool:
    """Whether a person has written of the version's model, or given it pictures."""
    model_id = model_of(connection, version_id)
    written = select(edits.c.model_id).where(edits.c.model_id == model_id).limit(1)
    given = select(images.c.id).where(images.c.model_id == model_id, images.c.slot.is_(None)).limit(1)
    return connection.execute(written).first() is not None or connection.execute(given).first() is not None


def _both(kept: str, more: str) -> str:
    """Two notes, each JSON, as one; what one of them says already is not said twice."""
    first, second = str(json.loads(kept)), str(json.loads(more))
    if second in first.split(BETWEEN_NOTES):
        return kept
    return dump_json(BETWEEN_NOTES.join(filter(None, (first, second))))


# Made once: thousands of files are asked about with each.
_MODEL_OF = select(versions.c.model_id).where(versions.c.id == bindparam("v"))
