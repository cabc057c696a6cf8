"""Owns which version and which model a file belongs to: by its content first, then by what a catalogue says.

Used by ``stores.library.recording`` and ``stores.library.hashing``, inside their transactions.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, select, update

from schemas.library.facts import Facts, merge
from schemas.library.folding import sort_key
from schemas.library.seen import Seen
from stores.library.rows import insert_all, insert_one, read_claim
from stores.library.tables import claims, files, images, models, versions
from stores.library.uniting import has_files, has_versions, merge_models, merge_versions, model_of


def models_of_files(connection: Connection, file_ids: Iterable[int]) -> set[int]:
    """The models of files."""
    query = select(versions.c.model_id).join(files, files.c.version_id == versions.c.id)
    return set(connection.execute(query.where(files.c.id.in_(list(file_ids)))).scalars())


def version_for(connection: Connection, seen: Seen, now_ms: int) -> int:
    """The version of a file that is new here, made if there is none: provisional until its content is known."""
    facts = merge(seen.claims).facts
    model_id = _model_for(connection, facts, seen.group_key)
    known = _catalogued(connection, model_id, facts.civitai_version_id)
    return known or insert_one(
        connection,
        versions,
        model_id=model_id,
        civitai_id=facts.civitai_version_id,
        facts="{}",
        epoch=seen.epoch,
        first_seen=now_ms,
    )


def _model_for(connection: Connection, facts: Facts, group_key: str | None) -> int:
    found = _first(connection, models.c.civitai_id, facts.civitai_id)
    if found is None and facts.civitai_id is None:
        found = _first(connection, models.c.group_key, group_key)
    if found is not None:
        return found
    return insert_one(connection, models, **_empty_model(facts), civitai_id=facts.civitai_id, group_key=group_key)


def _first(connection: Connection, column: Any, value: Any) -> int | None:
    if value is None:
        return None
    found: int | None = connection.execute(select(func.min(models.c.id)).where(column == value)).scalar_one()
    return found


def _empty_model(facts: Facts) -> dict[str, Any]:
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


def adopt(connection: Connection, version_id: int, touched: set[int]) -> int:
    """Let a version that a catalogue knows belong to the catalogue's model; the version that it is then."""
    facts = _facts_of(connection, version_id)
    model_id = model_of(connection, version_id)
    own = connection.execute(select(models.c.civitai_id).where(models.c.id == model_id)).scalar_one()
    if facts.civitai_id is not None and own is None:
        other = _first(connection, models.c.civitai_id, facts.civitai_id)
        if other is None:
            connection.execute(update(models).where(models.c.id == model_id).values(civitai_id=facts.civitai_id))
        else:
            connection.execute(update(versions).where(versions.c.id == version_id).values(model_id=other))
            connection.execute(update(images).where(images.c.version_id == version_id).values(model_id=other))
            touched.add(other)
            if not has_versions(connection, model_id):
                merge_models(connection, model_id, other)
                touched.discard(model_id)
            model_id = other
    _write_catalogue(connection, model_id, version_id, facts)
    return version_id


def _facts_of(connection: Connection, version_id: int) -> Facts:
    return merge(map(read_claim, connection.execute(select(claims).where(claims.c.version_id == version_id)))).facts


def _write_catalogue(connection: Connection, model_id: int, version_id: int, facts: Facts) -> None:
    """A row for each version that the catalogue lists, here or not."""
    ours = versions.c.id == version_id
    own = connection.execute(select(versions.c.civitai_id).where(ours)).scalar_one()
    if own is None and facts.civitai_version_id is not None:
        twin = _catalogued(connection, model_id, facts.civitai_version_id)
        if twin is not None and not has_files(connection, twin):
            merge_versions(connection, twin, version_id)
        connection.execute(update(versions).where(ours).values(civitai_id=facts.civitai_version_id))
    query = select(versions.c.civitai_id).where(versions.c.model_id == model_id)
    known = set(connection.execute(query).scalars())
    new = [said for said in facts.versions if said.id not in known]
    rows = [
        {"model_id": model_id, "civitai_id": said.id, "facts": "{}", "epoch": None, "first_seen": 0} for said in new
    ]
    insert_all(connection, versions, rows)
