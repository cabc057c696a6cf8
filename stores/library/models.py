"""Reads models: several for a list, or one with its versions, files and images."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy import Connection, func, select

from schemas.errors import NotFound
from schemas.library.metadata import CivitaiVersion, Metadata, Source
from schemas.library.model_parts import is_main_file
from schemas.library.model_views import FileView, ModelView, VersionView
from schemas.library.requests import MAX_ID
from schemas.library.sanitize import strip_control_chars
from schemas.library.scan_records import FORMAT_BY_EXTENSION
from schemas.library.text_normalization import normalize, sort_key
from stores.library.images import image_from_row
from stores.library.index.read_model import MAX_SAFE_INTEGER
from stores.library.rows import from_signed64
from stores.library.tables import details, files, images, models, user_edits, versions
from stores.sql.database import Database

MODEL_NOT_FOUND = "Model not found"
FILE_SUFFIXES = ("", *FORMAT_BY_EXTENSION)
MAX_NAME_MATCHES = 100
_Ids = dict[tuple[str, str], list[int]]
_HERO_COLUMNS = tuple(column.label(f"hero_{column.name}") for column in images.c)


class Models:
    """The models in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, model_id: int) -> ModelView:
        """Return a model with its versions, files (the main ones first) and images; raises NotFound."""
        if not 0 < model_id <= MAX_ID:
            raise NotFound(MODEL_NOT_FOUND)
        with self._database.read() as connection:
            found = _load_models(connection, [model_id])
            if not found:
                raise NotFound(MODEL_NOT_FOUND)
            model = _with_versions(connection, found)[0]
            query = select(images).where(images.c.model_id == model_id, images.c.version_id.is_(None))
            rows = connection.execute(query.order_by(images.c.sort_order, images.c.id))
            model_images = tuple(map(image_from_row, rows))
            edit_times = select(user_edits.c.field, user_edits.c.edited_at).where(user_edits.c.model_id == model_id)
            edited_at = {row.field: row.edited_at for row in connection.execute(edit_times)}
        return replace(model, images=model_images, edited_at=edited_at)

    def get_many(self, ids: Sequence[int], *, with_versions: bool = False) -> list[ModelView]:
        """Return these models in this order, without those that do not exist."""
        with self._database.read() as connection:
            found = _load_models(connection, ids)
            return _with_versions(connection, found) if with_versions else found

    def exists(self, model_id: int) -> bool:
        """Whether there is such a model."""
        with self._database.read() as connection:
            return connection.execute(select(models.c.id).where(models.c.id == model_id)).first() is not None

    def has_version(self, model_id: int, version_id: int) -> bool:
        """Whether the model has such a version."""
        query = select(versions.c.id).where(versions.c.id == version_id, versions.c.model_id == model_id)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None

    def find_by_name(self, name: str, category: str) -> list[ModelView]:
        """Return the models of a category with this name, or with a file of this name, that are on disk.

        ``name`` may contain folders, as in ComfyUI workflows: files in these folders come first.
        """
        return self.find_by_names([(name, category)])[name, category]

    def find_by_names(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[ModelView]]:
        """Return what ``find_by_name`` returns for each of many pairs of a name and a category, in few statements."""
        keys = {pair: _NameKeys.of(*pair) for pair in wanted}
        if not keys:
            return {}
        by_name = select(models.c.id, models.c.category_key, models.c.name_key).where(models.c.files > 0)
        by_name = by_name.where(models.c.name_key.in_({each.name for each in keys.values()}))
        file_name = func.lower(files.c.name)
        # The planner cannot turn outer joins round, so it begins with the few files.
        by_file = select(models.c.id, models.c.category_key, file_name).select_from(files)
        by_file = by_file.outerjoin(versions, versions.c.id == files.c.version_id)
        by_file = by_file.outerjoin(models, models.c.id == versions.c.model_id).where(files.c.missing_since.is_(None))
        by_file = by_file.where(file_name.in_({file for each in keys.values() for file in each.files}))
        with self._database.read() as connection:
            of_name = _group_ids(connection.execute(by_name))
            of_file = _group_ids(connection.execute(by_file))
        ids = {pair: each.select_ids(of_name, of_file) for pair, each in keys.items()}
        all_ids = sorted({id_ for some in ids.values() for id_ in some})
        found = {model.id: model for model in self.get_many(all_ids, with_versions=True)} if all_ids else {}
        return {pair: each.sort(found[id_] for id_ in ids[pair] if id_ in found) for pair, each in keys.items()}

    def find_by_civitai_version(self, civitai_version_id: int) -> list[ModelView]:
        """Return the models with a file on disk of this Civitai version."""
        if not 0 < civitai_version_id <= MAX_SAFE_INTEGER:
            return []
        query = select(versions.c.model_id).join(files, files.c.version_id == versions.c.id)
        query = query.where(versions.c.civitai_id == civitai_version_id, files.c.missing_since.is_(None))
        with self._database.read() as connection:
            ids = sorted(set(connection.execute(query).scalars()))
        return self.get_many(ids)


@dataclass(frozen=True, slots=True)
class _NameKeys:
    """Return the part of a name and a category that is compared."""

    category: str
    name: str
    files: frozenset[str]
    path: str

    @classmethod
    def of(cls, name: str, category: str) -> Self:
        """Return the keys of a name, which may contain folders."""
        name = strip_control_chars(name)
        basename = re.split(r"[\\/]", name)[-1]
        # lower() of SQLite changes ASCII letters only, that of PostgreSQL all: compare with both forms.
        ascii_lower = "".join(char.lower() if char.isascii() else char for char in basename)
        stems = {basename, basename.lower(), ascii_lower}
        file_names = frozenset(f"{stem}{suffix}" for stem in stems for suffix in FILE_SUFFIXES)
        return cls(normalize(category), sort_key(name), file_names, name.replace("\\", "/").lower())

    def select_ids(self, of_name: _Ids, of_file: _Ids) -> list[int]:
        """Return the ids of the models that have these keys, the lowest ones first."""
        ids = set(of_name.get((self.category, self.name), ()))
        ids.update(id_ for file in self.files for id_ in of_file.get((self.category, file), ()))
        return sorted(ids)[:MAX_NAME_MATCHES]

    def sort(self, found: Iterable[ModelView]) -> list[ModelView]:
        """Return the models in their order, but those with a file in the folders of the name first."""
        return sorted(found, key=lambda model: not _has_file_at(model, self.path))


def _group_ids(rows: Iterable[Any]) -> _Ids:
    """Return the ids by the category and the key in the columns that follow them."""
    groups: _Ids = {}
    for id_, category, key in rows:
        groups.setdefault((category, key), []).append(id_)
    return groups


def _has_file_at(model: ModelView, path: str) -> bool:
    """Whether a file of the model on disk has a path that ends in ``path``, with its extension or without."""
    on_disk = [file.path for version in model.versions for file in version.files if file.is_present and file.path]
    candidates = [f"/{each.decode(errors='replace').lower()}" for each in on_disk]
    return any(each.endswith(f"/{path}") or each.rpartition(".")[0].endswith(f"/{path}") for each in candidates)


def _load_models(connection: Connection, ids: Sequence[int]) -> list[ModelView]:
    query = select(models, details.c.facts, details.c.sources, *_HERO_COLUMNS)
    query = query.join(details, details.c.model_id == models.c.id)
    query = query.outerjoin(images, images.c.id == models.c.hero_image).where(models.c.id.in_(ids))
    rows = {row.id: row for row in connection.execute(query)}
    return [_model_from_row(rows[model_id]) for model_id in ids if model_id in rows]


def _model_from_row(row: Any) -> ModelView:
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
        metadata=Metadata.from_json(json.loads(row.facts)),
        sources=json.loads(row.sources),
        hero=image_from_row(row, "hero_") if row.hero_id is not None else None,
    )


def _with_versions(connection: Connection, found: Sequence[ModelView]) -> list[ModelView]:
    """Add the versions of each model: those on disk first, then the newest."""
    ids = [model.id for model in found]
    in_models = select(versions.c.id).where(versions.c.model_id.in_(ids))
    query = select(files).where(files.c.version_id.in_(in_models)).order_by(files.c.id)
    files_by_version = _group_by_version(connection.execute(query))
    order = (images.c.slot.is_not(None), images.c.sort_order, images.c.id)
    query = select(images).where(images.c.version_id.in_(in_models)).order_by(*order)
    images_by_version = _group_by_version(connection.execute(query))
    rows_by_model = defaultdict(list)
    for row in connection.execute(select(versions).where(versions.c.model_id.in_(ids)).order_by(versions.c.id)):
        rows_by_model[row.model_id].append((row, files_by_version.get(row.id, []), images_by_version.get(row.id, [])))
    return [replace(model, versions=_build_versions(model, rows_by_model[model.id])) for model in found]


def _group_by_version(rows: Iterable[Any]) -> dict[int, list[Any]]:
    groups = defaultdict(list)
    for row in rows:
        groups[row.version_id].append(row)
    return groups


def _build_versions(model: ModelView, rows: Iterable[tuple[Any, list[Any], list[Any]]]) -> tuple[VersionView, ...]:
    listed = {version.id: version for version in model.metadata.versions}
    built = [
        VersionView(
            id=row.id,
            civitai_id=row.civitai_id,
            metadata=_version_metadata(json.loads(row.facts), listed.get(row.civitai_id)),
            epoch=row.epoch,
            files=tuple(sorted(map(_file_from_row, file_rows), key=lambda file: not is_main_file(file.header))),
            images=tuple(map(image_from_row, image_rows)),
        )
        for row, file_rows, image_rows in rows
    ]
    local = [version for version in built if version.is_local]
    if len(local) == 1 and model.sources.get("base_model") == Source.USER:
        # Clients read the base model from the version: a user edit of the model applies to its only local version.
        edited = replace(local[0], metadata=replace(local[0].metadata, base_model=model.base_model))
        built = [edited if version is local[0] else version for version in built]
    return tuple(sorted(built, key=_newest_first))


def _newest_first(version: VersionView) -> tuple[bool, int, int]:
    newest = version.epoch if version.epoch is not None else version.civitai_id or 0
    return (not version.is_local, -newest, version.id)


def _version_metadata(stored: dict[str, Any], listed: CivitaiVersion | None) -> Metadata:
    """Return the metadata of a version, or by default those from Civitai's list of versions."""
    metadata = Metadata.from_json(stored)
    if listed is None or not metadata.is_empty:
        return metadata
    return Metadata(
        version_name=listed.name,
        base_model=listed.base_model,
        version_description=listed.description,
        published_at=listed.published_at,
        trained_words=listed.trained_words,
        version_stats=listed.stats,
    )


def _file_from_row(row: Any) -> FileView:
    return FileView(
        id=row.id,
        name=row.name,
        root=row.root,
        path=row.path,
        kind=row.kind,
        size_bytes=row.size_bytes,
        mtime_ns=row.mtime_ns,
        inode=from_signed64(row.inode),
        header=json.loads(row.header),
        hashes=json.loads(row.hashes),
        is_hashed=row.hashed_at is not None,
        is_present=row.missing_since is None and row.path is not None,
        problem=row.problem,
    )
