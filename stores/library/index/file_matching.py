"""Which version and which model a file belongs to: by its content first, then by what a catalogue says."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, update

from schemas.library.metadata import Metadata, SourceMetadata, merge_metadata
from schemas.library.text_normalization import sort_key
from stores.library.index.model_merge import has_files, has_local_versions, join_models, merge_versions, model_of
from stores.library.rows import claim_from_row, insert_row, insert_rows
from stores.library.tables import claims, files, images, models, versions


class Epoch(NamedTuple):
    """Which epoch of a training a file is, and what the training's files share; None where it is none."""

    number: int | None
    group_key: str | None


def models_of_files(connection: Connection, file_ids: Iterable[int]) -> set[int]:
    """The models of files."""
    query = select(versions.c.model_id).join(files, files.c.version_id == versions.c.id)
    return set(connection.execute(query.where(files.c.id.in_(list(file_ids)))).scalars())


def version_for(connection: Connection, said: Iterable[SourceMetadata], epoch: Epoch, now_ms: int) -> int:
    """The version of a file that is new here, made if there is none: provisional until its content is known."""
    facts = merge_metadata(said).metadata
    model_id = _model_for(connection, facts, epoch.group_key)
    known = _catalogued(connection, model_id, facts.civitai_version_id)
    return known or insert_row(
        connection,
        versions,
        model_id=model_id,
        civitai_id=facts.civitai_version_id,
        facts="{}",
        epoch=epoch.number,
        first_seen=now_ms,
    )


def _model_for(connection: Connection, facts: Metadata, group_key: str | None) -> int:
    found = _first(connection, models.c.civitai_id, facts.civitai_id)
    if found is None:
        found = _first(connection, models.c.group_key, group_key)
        if found is not None and facts.civitai_id not in (None, _civitai_id(connection, found) or facts.civitai_id):
            # The catalogue says that it is another.
            found = None
    if found is not None:
        return found
    return insert_row(connection, models, **_empty_model(facts), civitai_id=facts.civitai_id, group_key=group_key)


def split_off(connection: Connection, row: Any, now_ms: int) -> int:
    """The version of a file that turns out to have another content than it had: what is said in its place is new."""
    said = [
        claim_from_row(one) for one in connection.execute(select(claims).where(claims.c.version_id == row.version_id))
    ]
    joined = versions.join(models, models.c.id == versions.c.model_id)
    query = select(versions.c.epoch, models.c.group_key).select_from(joined)
    old = connection.execute(query.where(versions.c.id == row.version_id)).one()
    return version_for(connection, said, Epoch(old.epoch, old.group_key if old.epoch is not None else None), now_ms)


def _first(connection: Connection, column: Any, value: Any) -> int | None:
    if value is None:
        return None
    found: int | None = connection.execute(_FIRST[column.name], {"value": value}).scalar_one()
    return found


def _empty_model(facts: Metadata) -> dict[str, Any]:
    """A model of which nothing is known until it is refreshed."""
    name = facts.name or "?"
    return {
        "name": name,
        "name_key": sort_key(name),
        "type": "Other",
        "type_key": "other",
        "category": "Other",
        "category_key": "other",
        **dict.fromkeys(("nsfw_level", "downloads", "likes", "newest_at", "size_bytes", "files", "flags"), 0),
    }


def _catalogued(connection: Connection, model_id: int, civitai_version_id: int | None) -> int | None:
    if civitai_version_id is None:
        return None
    same = (versions.c.model_id == model_id) & (versions.c.civitai_id == civitai_version_id)
    found: int | None = connection.execute(select(func.min(versions.c.id)).where(same)).scalar_one()
    return found


def adopt(connection: Connection, version_id: int, touched: set[int]) -> None:
    """Let a version that a catalogue knows belong to the catalogue's model.

    ``touched`` are the models that are to be refreshed: it is kept true.
    """
    facts = _facts_of(connection, version_id)
    if facts.civitai_id is None and facts.civitai_version_id is None:
        return
    model_id = model_of(connection, version_id)
    touched.add(model_id)
    own = _civitai_id(connection, model_id)
    if facts.civitai_id not in (None, own):
        model_id = _to_catalogue(connection, version_id, model_id, facts, touched)
        touched.add(model_id)
    _write_catalogue(connection, model_id, version_id, facts)


def _civitai_id(connection: Connection, model_id: int) -> int | None:
    found: int | None = connection.execute(select(models.c.civitai_id).where(models.c.id == model_id)).scalar_one()
    return found


def _to_catalogue(connection: Connection, version_id: int, model_id: int, facts: Metadata, touched: set[int]) -> int:
    """Bring a version to the catalogue's model: its own becomes that, or joins it, unless others are in it."""
    other = _first(connection, models.c.civitai_id, facts.civitai_id)
    alone = not has_local_versions(connection, model_id, without=version_id, present=True)
    if other is None and (alone or _civitai_id(connection, model_id) is None):
        _unlist(connection, model_id)
        connection.execute(update(models).where(models.c.id == model_id).values(civitai_id=facts.civitai_id))
        return model_id
    if other is None:
        other = insert_row(connection, models, **_empty_model(facts), civitai_id=facts.civitai_id, group_key=None)
    elif alone:
        _unlist(connection, model_id)
        kept = join_models(connection, model_id, other, touched)
        connection.execute(update(models).where(models.c.id == kept).values(civitai_id=facts.civitai_id))
        return kept
    connection.execute(update(versions).where(versions.c.id == version_id).values(model_id=other))
    connection.execute(update(images).where(images.c.version_id == version_id).values(model_id=other))
    return other


def _unlist(connection: Connection, model_id: int) -> None:
    """Forget what a catalogue listed that is no longer believed; not what has files, pictures or words of its own."""
    kept = (select(column).where(column.is_not(None)) for column in (files.c.version_id, images.c.version_id))
    of_claims = versions.c.id.not_in(select(claims.c.version_id))
    listed = (versions.c.model_id == model_id) & versions.c.civitai_id.is_not(None) & of_claims
    for ids in kept:
        listed &= versions.c.id.not_in(ids)
    connection.execute(delete(versions).where(listed))


def _facts_of(connection: Connection, version_id: int) -> Metadata:
    return merge_metadata(
        map(claim_from_row, connection.execute(select(claims).where(claims.c.version_id == version_id)))
    ).metadata


def _write_catalogue(connection: Connection, model_id: int, version_id: int, facts: Metadata) -> None:
    """A row for each version that the catalogue lists, here or not."""
    ours = versions.c.id == version_id
    own = connection.execute(select(versions.c.civitai_id).where(ours)).scalar_one()
    if facts.civitai_version_id not in (None, own):
        twin = _catalogued(connection, model_id, facts.civitai_version_id)
        if twin is not None and not has_files(connection, twin):
            merge_versions(connection, twin, version_id)
        connection.execute(update(versions).where(ours).values(civitai_id=facts.civitai_version_id))
    if not facts.versions:
        return
    query = select(versions.c.civitai_id).where(versions.c.model_id == model_id)
    known = set(connection.execute(query).scalars())
    new = dict.fromkeys(said.id for said in facts.versions if said.id not in known)
    rows = [{"model_id": model_id, "civitai_id": ident, "facts": "{}", "epoch": None, "first_seen": 0} for ident in new]
    insert_rows(connection, versions, rows)


_FIRST = {
    column.name: select(func.min(models.c.id)).where(column == bindparam("value"))
    for column in (models.c.civitai_id, models.c.group_key)
}
