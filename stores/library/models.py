"""The looking up of models: some of them for a list, or one whole."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from schemas.errors import NotFound
from schemas.library.metadata import CivitaiVersion, Metadata, Source
from schemas.library.model_views import FileView, ModelView, VersionView
from schemas.library.requests import MAX_ID
from schemas.library.sanitize import strip_control_chars
from schemas.library.scan_records import FORMAT_BY_EXTENSION
from schemas.library.text_normalization import normalize, sort_key
from stores.library.images import image_from_row
from stores.library.index.read_model import MAX_SAFE_INTEGER
from stores.library.tables import details, edits, files, images, models, versions
from stores.sql.errors import sql_errors

MODEL_NOT_FOUND = "Model not found"
FILE_SUFFIXES = ("", *FORMAT_BY_EXTENSION)
MAX_NAME_MATCHES = 100


class Models:
    """The models in one database."""

    def __init__(self, engine: Engine) -> None:
        """Nothing is asked yet."""
        self._engine = engine

    def get(self, model_id: int) -> ModelView:
        """A model with its versions, files and pictures; raises NotFound."""
        if not 0 < model_id <= MAX_ID:
            raise NotFound(MODEL_NOT_FOUND)
        with sql_errors(), self._engine.connect() as connection:
            found = self._some(connection, [model_id])
            if not found:
                raise NotFound(MODEL_NOT_FOUND)
            shown = _with_versions(connection, found)[0]
            mine = select(images).where(images.c.model_id == model_id, images.c.version_id.is_(None))
            loose = tuple(map(image_from_row, connection.execute(mine.order_by(images.c.sort_order, images.c.id))))
            written = select(edits.c.field, edits.c.edited_at).where(edits.c.model_id == model_id)
            edited = {row.field: row.edited_at for row in connection.execute(written)}
        return replace(shown, images=loose, edited=edited)

    def get_many(self, ids: Sequence[int], *, with_versions: bool = False) -> list[ModelView]:
        """These models, in this order; those that are not there any more are left out."""
        with sql_errors(), self._engine.connect() as connection:
            found = self._some(connection, ids)
            return _with_versions(connection, found) if with_versions else found

    def exists(self, model_id: int) -> bool:
        """Whether there is such a model."""
        with sql_errors(), self._engine.connect() as connection:
            return connection.execute(select(models.c.id).where(models.c.id == model_id)).first() is not None

    def has_version(self, model_id: int, version_id: int) -> bool:
        """Whether the model has such a version."""
        query = select(versions.c.id).where(versions.c.id == version_id, versions.c.model_id == model_id)
        with sql_errors(), self._engine.connect() as connection:
            return connection.execute(query).first() is not None

    def find_by_name(self, name: str, category: str) -> list[ModelView]:
        """The models of a category that go by a name, or have a file of it; those that are there only.

        Names may have folders, as some programs have them: where several files have the name, first the one in these.
        """
        name = strip_control_chars(name)
        by_name = (models.c.name_key == sort_key(name)) & (models.c.files > 0)
        # Programs name the folder too; SQLite knows the small letters of ASCII only.
        plain = re.split(r"[\\/]", name)[-1]
        stems = {plain, plain.lower(), "".join(one.lower() if one.isascii() else one for one in plain)}
        stem = func.lower(files.c.name).in_([f"{one}{ending}" for one in stems for ending in FILE_SUFFIXES])
        by_file = select(versions.c.model_id).join(files, files.c.version_id == versions.c.id)
        by_file = by_file.where(stem, files.c.missing_since.is_(None))
        query = select(models.c.id).where(
            models.c.category_key == normalize(category), by_name | models.c.id.in_(by_file)
        )
        with sql_errors(), self._engine.connect() as connection:
            ids = list(connection.execute(query.order_by(models.c.id).limit(MAX_NAME_MATCHES)).scalars())
        whole = name.replace("\\", "/").lower()
        return sorted(self.get_many(ids, with_versions=True), key=lambda model: not _lies_at(model, whole))

    def find_by_civitai_version(self, civitai_version_id: int) -> list[ModelView]:
        """The models with a file that is there of a version that a catalogue has under this number."""
        if not 0 < civitai_version_id <= MAX_SAFE_INTEGER:
            return []
        query = select(versions.c.model_id).join(files, files.c.version_id == versions.c.id)
        query = query.where(versions.c.civitai_id == civitai_version_id, files.c.missing_since.is_(None))
        with sql_errors(), self._engine.connect() as connection:
            ids = sorted(set(connection.execute(query).scalars()))
        return self.get_many(ids)

    def _some(self, connection: Connection, ids: Sequence[int]) -> list[ModelView]:
        query = select(models, details.c.facts, details.c.sources, *_HERO).join(
            details, details.c.model_id == models.c.id
        )
        query = query.outerjoin(images, images.c.id == models.c.hero_image).where(models.c.id.in_(ids))
        rows = {row.id: row for row in connection.execute(query)}
        return [_model(rows[ident]) for ident in ids if ident in rows]


def _lies_at(model: ModelView, whole: str) -> bool:
    """Whether a file of the model has a path that ends so, with its ending or without."""
    paths = [file.path for version in model.versions for file in version.files if file.present and file.path]
    plain = [f"/{path.decode(errors='replace').lower()}" for path in paths]
    return any(path.endswith(f"/{whole}") or path.rpartition(".")[0].endswith(f"/{whole}") for path in plain)


_HERO = tuple(column.label(f"hero_{column.name}") for column in images.c)


def _model(row: Any) -> ModelView:
    return ModelView(
        id=row.id,
        name=row.name,
        type=row.type,
        category=row.category,
        subcategory=row.subcategory,
        base_model=row.base_model,
        nsfw_level=row.nsfw_level,
        civitai_id=row.civitai_id,
        flags=row.flags,
        newest_at=row.newest_at,
        size_bytes=row.size_bytes,
        facts=Metadata.from_json(json.loads(row.facts)),
        sources=json.loads(row.sources),
        hero=image_from_row(row, "hero_") if row.hero_id is not None else None,
    )


def _with_versions(connection: Connection, shown: Sequence[ModelView]) -> list[ModelView]:
    """The same, each with its versions: those that are here first, then the newest."""
    ids = [model.id for model in shown]
    of_models = defaultdict(list)
    ours = select(versions.c.id).where(versions.c.model_id.in_(ids))
    in_files = _grouped(connection.execute(select(files).where(files.c.version_id.in_(ours)).order_by(files.c.id)))
    query = select(images).where(images.c.version_id.in_(ours))
    order = (images.c.slot.is_not(None), images.c.sort_order, images.c.id)
    in_images = _grouped(connection.execute(query.order_by(*order)))
    for row in connection.execute(select(versions).where(versions.c.model_id.in_(ids)).order_by(versions.c.id)):
        of_models[row.model_id].append((row, in_files.get(row.id, []), in_images.get(row.id, [])))
    return [replace(model, versions=_versions(model, of_models[model.id])) for model in shown]


def _grouped(rows: Iterable[Any]) -> dict[int, list[Any]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row.version_id].append(row)
    return groups


def _versions(model: ModelView, rows: Iterable[tuple[Any, list[Any], list[Any]]]) -> tuple[VersionView, ...]:
    listed = {said.id: said for said in model.facts.versions}
    found = [
        VersionView(
            id=row.id,
            civitai_id=row.civitai_id,
            facts=_facts(json.loads(row.facts), listed.get(row.civitai_id)),
            epoch=row.epoch,
            files=tuple(map(_file, its_files)),
            images=tuple(map(image_from_row, its_images)),
        )
        for row, its_files, its_images in rows
    ]
    here = [version for version in found if version.is_local]
    if len(here) == 1 and model.sources.get("base_model") == Source.USER:
        # What a person says of the model is said of the one version that is here.
        said = replace(here[0], facts=replace(here[0].facts, base_model=model.base_model))
        found = [said if version is here[0] else version for version in found]
    return tuple(sorted(found, key=_newest_first))


def _newest_first(version: VersionView) -> tuple[bool, int, int]:
    newest = version.epoch if version.epoch is not None else version.civitai_id or 0
    return (not version.is_local, -newest, version.id)


def _facts(kept: dict[str, Any], listed: CivitaiVersion | None) -> Metadata:
    """What is said of a version; of one that is not here, what the catalogue's list has."""
    facts = Metadata.from_json(kept)
    if listed is None or not facts.is_empty:
        return facts
    return Metadata(
        version_name=listed.name,
        base_model=listed.base_model,
        version_description=listed.description,
        published_at=listed.published_at,
        trained_words=listed.trained_words,
        version_stats=listed.stats,
    )


def _file(row: Any) -> FileView:
    return FileView(
        id=row.id,
        name=row.name,
        root=row.root,
        path=row.path,
        kind=row.kind,
        size_bytes=row.size_bytes,
        mtime_ns=row.mtime_ns,
        inode=row.inode % 2**64,
        header=json.loads(row.header),
        hashes=json.loads(row.hashes),
        hashed=row.hashed_at is not None,
        present=row.missing_since is None and row.path is not None,
        problem=row.problem,
    )
