"""What people have written, as it is carried from one library to another: by content, not by path."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, func, select

from ops.infra.clock import Clock
from schemas.errors import Invalid
from schemas.fields import is_valid_unicode
from schemas.images import formats
from schemas.images.inspected_image import BLURHASH_PATTERN, LIBRARY_PREFIX
from schemas.images.params_requests import parse_json_field
from schemas.library import content_rating
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.requests import MAX_PROMPT_CHARS, ModelChange, load_body
from schemas.library.scan_records import FileFormat
from stores.library.index.read_model import rebuild_read_model
from stores.library.rows import claim_to_row, dump_json, insert_row, insert_rows, writing
from stores.library.tables import claims, edits, files, images, models, versions
from stores.media import KEY_PATTERN
from stores.sql.errors import sql_errors

JOB = re.compile(r"[0-9A-Za-z_-]{1,32}")
_CARRIED = (
    *("media_key", "thumb_key", "media_type", "width", "height", "nsfw_level", "blurhash", "prompt", "params"),
    *("sort_order", "created_at", "job_id"),
)
CONTENT = re.compile(r"(tensors|sha256):[0-9a-f]{64}")
LARGEST = 2**63 - 1
MAX_ITEMS_PER_MODEL = 10_000


class UnhashedFileRef(NamedTuple):
    """A file that was never hashed: known again by its name, its size in bytes and the layout of its tensors."""

    name: str
    size_bytes: int
    layout: str | None


@dataclass(frozen=True, slots=True)
class UserDataRecord:
    """What people have written about one model.

    ``contents`` and ``files`` are those of its files; ``images`` are columns of rows.
    """

    name: str
    contents: tuple[str, ...]
    civitai_id: int | None
    edits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: tuple[Mapping[str, Any], ...] = ()
    files: tuple[UnhashedFileRef, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For a backup."""
        return asdict(self) | {"files": [one._asdict() for one in self.files]}

    @classmethod
    def from_json(cls, kept: Any) -> "UserDataRecord":
        """As ``to_json`` wrote it.

        Raises:
            ValueError: it did not.
        """
        try:
            edits_ = {
                _edited(name, one["value"]): {"value": one["value"], "edited_at": one["edited_at"]}
                for name, one in kept["edits"].items()
            }
            images_ = tuple({name: one[name] for name in _CARRIED} for one in kept["images"])
            files_ = tuple(
                UnhashedFileRef(one["name"], one["size_bytes"], one["layout"]) for one in kept.get("files", ())
            )
            written = cls(kept["name"], tuple(kept["contents"]), kept["civitai_id"], edits_, images_, files_)
            _require_sound(written)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError("a model in it is not written as a backup writes it") from error
        except Invalid as error:
            raise ValueError(" ".join(error.problems)) from error
        return written


def _edited(name: str, value: Any) -> str:
    load_body(ModelChange(), {name: value})
    return name


def _require_sound(written: UserDataRecord) -> None:
    """Raises ValueError for what no library of ours can have written."""
    images_sound = all(rule(one[name]) for one in written.images for name, rule in _IMAGE_RULES.items())
    checks = {
        "name": _is_text(written.name),
        "contents": all(isinstance(one, str) and CONTENT.fullmatch(one) for one in written.contents),
        "civitai_id": written.civitai_id is None or _is_count(written.civitai_id),
        "edits": all(_is_count(one["edited_at"]) for one in written.edits.values()),
        "images": images_sound,
        "files": all(_is_text(one.name) and _is_count(one.size_bytes) for one in written.files),
        "layout": all(one.layout is None or _is_text(one.layout) for one in written.files),
        "length": max(len(written.images), len(written.contents), len(written.files)) <= MAX_ITEMS_PER_MODEL,
    }
    if wrong := [name for name, holds in checks.items() if not holds]:
        raise ValueError(f"a model in it has a wrong {wrong[0]}")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_PROMPT_CHARS and is_valid_unicode(value)


def _is_key(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(f"{LIBRARY_PREFIX}/") and bool(KEY_PATTERN.fullmatch(value))


def _is_params(value: Any) -> bool:
    """The column's JSON, as text."""
    return isinstance(value, str) and isinstance(parse_json_field("params", value, dict), dict)


def _or_none(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or rule(value)


_IMAGE_RULES: Mapping[str, Callable[[Any], bool]] = {
    "media_key": _is_key,
    "thumb_key": _or_none(_is_key),
    "media_type": lambda value: isinstance(value, str) and value in formats.ACCEPTED_MEDIA_TYPES,
    "width": _or_none(_is_count),
    "height": _or_none(_is_count),
    "nsfw_level": lambda value: _is_count(value) and value <= content_rating.ALL_LEVELS,
    "blurhash": _or_none(lambda value: isinstance(value, str) and bool(BLURHASH_PATTERN.fullmatch(value))),
    "prompt": _or_none(_is_text),
    "params": _is_params,
    "sort_order": _is_count,
    "created_at": _is_count,
    "job_id": _or_none(lambda value: isinstance(value, str) and bool(JOB.fullmatch(value))),
}


class Backups:
    """What is written in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def export(self) -> Iterator[UserDataRecord]:
        """Everything that people have written, and the pictures that they gave."""
        with sql_errors(), self._engine.connect() as connection:
            given = select(images.c.model_id).where(images.c.slot.is_(None))
            touched = set(connection.execute(select(edits.c.model_id)).scalars()) | set(
                connection.execute(given).scalars()
            )
            for model_id in sorted(touched):
                yield _written(connection, model_id)

    def restore(self, record: UserDataRecord) -> str:
        """Write it down here: ``known`` if the model is here, ``waiting`` if it will have it once its file comes.

        What is written here already, and later, stays.
        """
        with writing(self._engine) as connection:
            model_id = _known(connection, record)
            if model_id is None:
                model_id = self._make_ghost(connection, record)
            _write_edits(connection, model_id, record.edits)
            _write_images(connection, model_id, record.images)
            rebuild_read_model(connection, [model_id])
            present = connection.execute(select(models.c.files).where(models.c.id == model_id)).scalar_one()
        return "known" if present else "waiting"

    def _make_ghost(self, connection: Connection, written: UserDataRecord) -> int:
        """A model whose files are not here: it is known by their content when that comes."""
        zeros = dict.fromkeys(("nsfw_level", "downloads", "likes", "newest_at", "size_bytes", "files", "flags"), 0)
        words = {"name": written.name, "name_key": "", "type": "", "type_key": "", "category": "", "category_key": ""}
        model_id = insert_row(connection, models, civitai_id=written.civitai_id, **zeros, **words)
        known = [(UnhashedFileRef(written.name, 0, None), content) for content in written.contents]
        for file, content in (*known, *((file, None) for file in written.files)):
            self._make_file(connection, self._make_version(connection, model_id, written.name), file, content)
        if not written.contents and not written.files:
            self._make_version(connection, model_id, written.name)
        return model_id

    def _make_version(self, connection: Connection, model_id: int, name: str) -> int:
        now = self._clock.now_ms()
        version = {"model_id": model_id, "civitai_id": None, "facts": "{}", "epoch": None, "first_seen": now}
        version_id = insert_row(connection, versions, **version)
        called = SourceMetadata(Source.FILE_NAME, SourcePriority.GUESS, Metadata(name=name or "?"))
        insert_rows(connection, claims, [claim_to_row(version_id, called)])
        return version_id

    def _make_file(self, connection: Connection, version_id: int, file: UnhashedFileRef, content: str | None) -> None:
        now = self._clock.now_ms()
        plain = {"root": "", "path": None, "name": file.name, "kind": FileFormat.SAFETENSORS, "companions": ""}
        numbers = {"inode": 0, "size_bytes": file.size_bytes, "mtime_ns": 0, "first_seen": now, "missing_since": now}
        more = {"version_id": version_id, "content": content, "layout": file.layout, "header": "{}", "hashes": "{}"}
        insert_row(connection, files, **plain, **numbers, **more)


def _written(connection: Connection, model_id: int) -> UserDataRecord:
    model = connection.execute(select(models).where(models.c.id == model_id)).one()
    contents = select(files.c.content).join(versions, versions.c.id == files.c.version_id)
    contents = contents.where(versions.c.model_id == model_id, files.c.content.is_not(None)).distinct()
    plain = select(files.c.name, files.c.size_bytes, files.c.layout).join(versions, versions.c.id == files.c.version_id)
    plain = plain.where(versions.c.model_id == model_id, files.c.content.is_(None)).distinct()
    said = connection.execute(select(edits).where(edits.c.model_id == model_id))
    shown = connection.execute(select(images).where(images.c.model_id == model_id, images.c.slot.is_(None)))
    return UserDataRecord(
        name=model.name,
        contents=tuple(sorted(connection.execute(contents).scalars())),
        civitai_id=model.civitai_id,
        edits={row.field: {"value": json.loads(row.value), "edited_at": row.edited_at} for row in said},
        images=tuple({name: getattr(row, name) for name in _CARRIED} for row in shown),
        files=tuple(UnhashedFileRef(*row) for row in connection.execute(plain)),
    )


def _known(connection: Connection, written: UserDataRecord) -> int | None:
    """The model that it is about, if it is here or waited for already: by content, catalogue, or its plain files."""
    in_files = select(func.min(versions.c.model_id)).join(files, files.c.version_id == versions.c.id)
    found: int | None = connection.execute(in_files.where(files.c.content.in_(written.contents))).scalar_one()
    if found is None and written.civitai_id is not None:
        by_catalogue = select(func.min(models.c.id)).where(models.c.civitai_id == written.civitai_id)
        found = connection.execute(by_catalogue).scalar_one()
    for file in written.files:
        if found is not None:
            break
        same = (files.c.name == file.name) & (files.c.size_bytes == file.size_bytes)
        same &= files.c.layout.is_(None) if file.layout is None else files.c.layout == file.layout
        found = connection.execute(in_files.where(same)).scalar_one()
    if found is None and not written.contents and not written.files:
        empty = models.c.id.not_in(select(versions.c.model_id).join(files, files.c.version_id == versions.c.id))
        found = connection.execute(
            select(func.min(models.c.id)).where(models.c.name == written.name, empty)
        ).scalar_one()
    return found


def _write_edits(connection: Connection, model_id: int, said: Mapping[str, Mapping[str, Any]]) -> None:
    here = edits.c.model_id == model_id
    known = {row.field: row.edited_at for row in connection.execute(select(edits).where(here))}
    for name, one in said.items():
        if known.get(name, -1) < one["edited_at"]:
            connection.execute(edits.delete().where(here, edits.c.field == name))
            row = {"model_id": model_id, "field": name, "value": dump_json(one["value"]), "edited_at": one["edited_at"]}
            connection.execute(edits.insert().values(**row))


def _write_images(connection: Connection, model_id: int, given: Sequence[Mapping[str, Any]]) -> None:
    query = select(images.c.media_key).where(images.c.model_id == model_id)
    known = set(connection.execute(query).scalars())
    for one in given:
        if one["media_key"] not in known:
            insert_row(connection, images, model_id=model_id, version_id=None, **one)
