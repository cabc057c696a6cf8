"""Owns what people have written, as it is carried from one library to another: by content, not by path.

Called by ``workers.library.papers``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from ops.clock import Clock
from schemas.library.seen import Kind
from stores.library.merging import refresh
from stores.library.rows import dump, insert_one, writing
from stores.library.tables import edits, files, images, models, versions
from stores.sql import sql_errors

_CARRIED = (
    *("media_key", "thumb_key", "media_type", "width", "height", "nsfw_level", "blurhash", "prompt", "params"),
    *("sort_order", "created_at", "job_id"),
)


@dataclass(frozen=True, slots=True)
class Written:
    """What people have written about one model. ``contents`` are those of its files; ``images`` columns of rows."""

    name: str
    contents: tuple[str, ...]
    civitai_id: int | None
    edits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For a backup."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Written":
        """As ``to_json`` wrote it; raises TypeError or KeyError if it did not."""
        images_ = tuple({name: one.get(name) for name in _CARRIED} for one in kept["images"])
        edits_ = {
            str(name): {"value": one["value"], "edited_at": int(one["edited_at"])}
            for name, one in kept["edits"].items()
        }
        return cls(str(kept["name"]), tuple(map(str, kept["contents"])), kept["civitai_id"], edits_, images_)


class Backups:
    """What is written in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def all(self) -> Iterator[Written]:
        """Everything that people have written, and the pictures that they gave."""
        with sql_errors(), self._engine.connect() as connection:
            given = select(images.c.model_id).where(images.c.slot.is_(None))
            touched = set(connection.execute(select(edits.c.model_id)).scalars()) | set(
                connection.execute(given).scalars()
            )
            for model_id in sorted(touched):
                yield _written(connection, model_id)

    def take_back(self, written: Written) -> str:
        """Write it down here: ``known`` if the model is here, ``waiting`` if it will have it once its file comes.

        What is written here already, and later, stays.
        """
        with writing(self._engine) as connection:
            model_id = _known(connection, written)
            known = model_id is not None
            if model_id is None:
                model_id = self._make_ghost(connection, written)
            _write_edits(connection, model_id, written.edits)
            _write_images(connection, model_id, written.images)
            refresh(connection, [model_id])
        return "known" if known else "waiting"

    def _make_ghost(self, connection: Connection, written: Written) -> int:
        """A model without files: it is known by its content when that comes."""
        zeros = dict.fromkeys(("nsfw_level", "downloads", "likes", "newest_at", "size_bytes", "files", "flags"), 0)
        words = {"name": written.name, "name_key": "", "type": "", "type_key": "", "category": "", "category_key": ""}
        model_id = insert_one(connection, models, civitai_id=written.civitai_id, **zeros, **words)
        now = self._clock.now_ms()
        version = {"model_id": model_id, "civitai_id": None, "facts": "{}", "epoch": None, "first_seen": now}
        version_id = insert_one(connection, versions, **version)
        for content in written.contents:
            plain = {"root": "", "path": None, "name": written.name, "kind": Kind.SAFETENSORS, "companions": ""}
            numbers = {"inode": 0, "size_bytes": 0, "mtime_ns": 0, "first_seen": now, "missing_since": now}
            more = {"version_id": version_id, "content": content, "header": "{}", "hashes": "{}"}
            insert_one(connection, files, **plain, **numbers, **more)
        return model_id


def _written(connection: Connection, model_id: int) -> Written:
    model = connection.execute(select(models).where(models.c.id == model_id)).one()
    contents = select(files.c.content).join(versions, versions.c.id == files.c.version_id)
    contents = contents.where(versions.c.model_id == model_id, files.c.content.is_not(None)).distinct()
    said = connection.execute(select(edits).where(edits.c.model_id == model_id))
    shown = connection.execute(select(images).where(images.c.model_id == model_id, images.c.slot.is_(None)))
    return Written(
        name=model.name,
        contents=tuple(sorted(connection.execute(contents).scalars())),
        civitai_id=model.civitai_id,
        edits={row.field: {"value": json.loads(row.value), "edited_at": row.edited_at} for row in said},
        images=tuple({name: getattr(row, name) for name in _CARRIED} for row in shown),
    )


def _known(connection: Connection, written: Written) -> int | None:
    by_content = select(func.min(versions.c.model_id)).join(files, files.c.version_id == versions.c.id)
    found: int | None = connection.execute(by_content.where(files.c.content.in_(written.contents))).scalar_one()
    if found is None and written.civitai_id is not None:
        by_catalogue = select(func.min(models.c.id)).where(models.c.civitai_id == written.civitai_id)
        found = connection.execute(by_catalogue).scalar_one()
    return found


def _write_edits(connection: Connection, model_id: int, said: Mapping[str, Mapping[str, Any]]) -> None:
    here = edits.c.model_id == model_id
    known = {row.field: row.edited_at for row in connection.execute(select(edits).where(here))}
    for name, one in said.items():
        if known.get(name, -1) < one["edited_at"]:
            connection.execute(edits.delete().where(here, edits.c.field == name))
            row = {"model_id": model_id, "field": name, "value": dump(one["value"]), "edited_at": one["edited_at"]}
            connection.execute(edits.insert().values(**row))


def _write_images(connection: Connection, model_id: int, given: Sequence[Mapping[str, Any]]) -> None:
    query = select(images.c.media_key).where(images.c.model_id == model_id)
    known = set(connection.execute(query).scalars())
    for one in given:
        if one["media_key"] not in known:
            insert_one(connection, images, model_id=model_id, version_id=None, **one)
