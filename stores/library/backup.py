"""Export and restore of user data: edits and images by people, keyed by the content of files instead of their paths."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from ops.infra.clock import Clock
from schemas.errors import Invalid
from schemas.fields import MAX_INT64, is_valid_unicode
from schemas.images import formats
from schemas.images.inspected_image import BLURHASH_PATTERN, LIBRARY_PREFIX
from schemas.images.params_requests import parse_json_field
from schemas.library import content_rating
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.requests import MAX_PROMPT_CHARS, ModelChange, load_body
from schemas.library.scan_records import FileFormat
from stores.library.index.transaction import IndexTransaction, index_transaction
from stores.library.rows import dump_json, insert_row, source_metadata_to_row
from stores.library.tables import files, images, models, source_metadata, user_edits, versions
from stores.media import KEY_PATTERN
from stores.sql.database import Database

MAX_ITEMS_PER_MODEL = 10_000
JOB_ID_PATTERN = re.compile(r"[0-9A-Za-z_-]{1,32}")
CONTENT_PATTERN = re.compile(r"(tensors|sha256):[0-9a-f]{64}")
_IMAGE_COLUMNS = (
    *("media_key", "thumb_key", "media_type", "width", "height", "nsfw_level", "blurhash", "prompt", "params"),
    *("sort_order", "created_at", "job_id"),
)


class UnhashedFileRef(NamedTuple):
    """A file that was never hashed: identified by its name, its size in bytes and the layout of its tensors."""

    name: str
    size_bytes: int
    layout: str | None


@dataclass(frozen=True, slots=True)
class UserDataRecord:
    """The user data of one model. Field names are keys of the backup's JSON.

    ``contents`` and ``files`` identify the model by its hashed and unhashed files. ``edits`` has ``value`` and
    ``edited_at`` by field; ``images`` has columns of ``library_images``.
    """

    name: str
    contents: tuple[str, ...]
    civitai_id: int | None
    edits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: tuple[Mapping[str, Any], ...] = ()
    files: tuple[UnhashedFileRef, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record for a backup."""
        return asdict(self) | {"files": [file._asdict() for file in self.files]}

    @classmethod
    def from_json(cls, stored: Any) -> "UserDataRecord":
        """Read and validate a record of a backup, which is untrusted.

        Raises:
            ValueError: ``to_json`` cannot have written it.
        """
        try:
            record = cls(
                name=stored["name"],
                contents=tuple(stored["contents"]),
                civitai_id=stored["civitai_id"],
                edits={
                    name: {"value": edit["value"], "edited_at": edit["edited_at"]}
                    for name, edit in stored["edits"].items()
                },
                images=tuple({name: image[name] for name in _IMAGE_COLUMNS} for image in stored["images"]),
                files=tuple(
                    UnhashedFileRef(file["name"], file["size_bytes"], file["layout"])
                    for file in stored.get("files", ())
                ),
            )
            _require_valid(record)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError("a model in it does not have the form of a backup") from error
        except Invalid as error:
            raise ValueError(" ".join(error.problems)) from error
        return record


def _require_valid(record: UserDataRecord) -> None:
    """Raise ValueError, or Invalid for edits, naming the first part that is wrong."""
    for name, edit in record.edits.items():
        load_body(ModelChange(), {name: edit["value"]})
    checks = {
        "name": _is_text(record.name),
        "contents": all(isinstance(each, str) and CONTENT_PATTERN.fullmatch(each) for each in record.contents),
        "civitai_id": _is_count_or_none(record.civitai_id),
        "edits": all(_is_count(edit["edited_at"]) for edit in record.edits.values()),
        "images": all(rule(image[name]) for image in record.images for name, rule in _IMAGE_RULES.items()),
        "files": all(_is_text(file.name) and _is_count(file.size_bytes) for file in record.files),
        "layout": all(_is_text_or_none(file.layout) for file in record.files),
        "length": max(len(record.images), len(record.contents), len(record.files)) <= MAX_ITEMS_PER_MODEL,
    }
    if wrong := [name for name, is_valid in checks.items() if not is_valid]:
        raise ValueError(f"a model in it has an invalid {wrong[0]}")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_INT64


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_PROMPT_CHARS and is_valid_unicode(value)


def _is_media_key(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(f"{LIBRARY_PREFIX}/") and bool(KEY_PATTERN.fullmatch(value))


def _is_params(value: Any) -> bool:
    """Whether it is the column's JSON text."""
    return isinstance(value, str) and isinstance(parse_json_field("params", value, dict), dict)


def _or_none(rule: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or rule(value)


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


_is_count_or_none, _is_text_or_none = _or_none(_is_count), _or_none(_is_text)
_IMAGE_RULES: Mapping[str, Callable[[Any], bool]] = {
    "media_key": _is_media_key,
    "thumb_key": _or_none(_is_media_key),
    "media_type": lambda value: isinstance(value, str) and value in formats.ACCEPTED_MEDIA_TYPES,
    "width": _is_count_or_none,
    "height": _is_count_or_none,
    "nsfw_level": lambda value: _is_count(value) and value <= content_rating.ALL_LEVELS,
    "blurhash": _or_none(_matches(BLURHASH_PATTERN)),
    "prompt": _is_text_or_none,
    "params": _is_params,
    "sort_order": _is_count,
    "created_at": _is_count,
    "job_id": _or_none(_matches(JOB_ID_PATTERN)),
}


class Backups:
    """Exports and restores the user data of one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def export(self) -> Iterator[UserDataRecord]:
        """Yield a record for each model that has user edits or user images."""
        with self._database.read() as connection:
            with_images = select(images.c.model_id).where(images.c.slot.is_(None))
            edited = set(connection.execute(select(user_edits.c.model_id)).scalars())
            for model_id in sorted(edited | set(connection.execute(with_images).scalars())):
                yield _read_record(connection, model_id)

    def restore(self, record: UserDataRecord) -> str:
        """Write a record to this database; edits that are newer here stay.

        Returns ``known`` if the model has files here, ``waiting`` if its data is kept until a file of it comes.
        """
        with index_transaction(self._database, self._clock) as transaction:
            model_id = _find_model(transaction, record)
            if model_id is None:
                model_id = _create_placeholder(transaction, record)
            _restore_edits(transaction, model_id, record.edits)
            _restore_images(transaction, model_id, record.images)
            transaction.mark_changed(model_id)
            present = transaction.execute(select(models.c.files).where(models.c.id == model_id)).scalar_one()
        return "known" if present else "waiting"


def _read_record(connection: Connection, model_id: int) -> UserDataRecord:
    model = connection.execute(select(models).where(models.c.id == model_id)).one()
    of_model = select(files).join(versions, versions.c.id == files.c.version_id).where(versions.c.model_id == model_id)
    contents = of_model.with_only_columns(files.c.content).where(files.c.content.is_not(None)).distinct()
    unhashed = of_model.with_only_columns(files.c.name, files.c.size_bytes, files.c.layout)
    unhashed = unhashed.where(files.c.content.is_(None)).distinct()
    edits = connection.execute(select(user_edits).where(user_edits.c.model_id == model_id))
    user_images = connection.execute(select(images).where(images.c.model_id == model_id, images.c.slot.is_(None)))
    return UserDataRecord(
        name=model.name,
        contents=tuple(sorted(connection.execute(contents).scalars())),
        civitai_id=model.civitai_id,
        edits={row.field: {"value": json.loads(row.value), "edited_at": row.edited_at} for row in edits},
        images=tuple({name: getattr(row, name) for name in _IMAGE_COLUMNS} for row in user_images),
        files=tuple(UnhashedFileRef(*row) for row in connection.execute(unhashed)),
    )


def _find_model(transaction: IndexTransaction, record: UserDataRecord) -> int | None:
    """Return the model of a record, or its placeholder: by content, by Civitai id, then by unhashed files."""
    by_file = select(func.min(versions.c.model_id)).join(files, files.c.version_id == versions.c.id)
    queries = [by_file.where(files.c.content.in_(record.contents))]
    if record.civitai_id is not None:
        queries.append(select(func.min(models.c.id)).where(models.c.civitai_id == record.civitai_id))
    for file in record.files:
        same = (files.c.name == file.name) & (files.c.size_bytes == file.size_bytes)
        queries.append(by_file.where(same, files.c.layout.is_not_distinct_from(file.layout)))
    if not record.contents and not record.files:
        with_files = select(versions.c.model_id).join(files, files.c.version_id == versions.c.id)
        without_files = models.c.id.not_in(with_files)
        queries.append(select(func.min(models.c.id)).where(models.c.name == record.name, without_files))
    matches = (transaction.execute(query).scalar_one() for query in queries)
    return next((model_id for model_id in matches if model_id is not None), None)


def _create_placeholder(transaction: IndexTransaction, record: UserDataRecord) -> int:
    """Create a model without files on disk, which a scan recognizes when a file of it comes."""
    zeros = dict.fromkeys(("nsfw_level", "downloads", "likes", "newest_at", "size_bytes", "files", "flags"), 0)
    texts = dict.fromkeys(("name_key", "type", "type_key", "category", "category_key"), "")
    identity = {"name": record.name, "civitai_id": record.civitai_id}
    model_id = insert_row(transaction.connection, models, **identity, **zeros, **texts)
    for content in record.contents:
        version_id = _create_version(transaction, model_id, record.name)
        _create_missing_file(transaction, version_id, UnhashedFileRef(record.name, 0, None), content)
    for file in record.files:
        _create_missing_file(transaction, _create_version(transaction, model_id, record.name), file, None)
    if not record.contents and not record.files:
        _create_version(transaction, model_id, record.name)
    return model_id


def _create_version(transaction: IndexTransaction, model_id: int, name: str) -> int:
    version = {"civitai_id": None, "facts": "{}", "epoch": None, "first_seen": transaction.now_ms}
    version_id = insert_row(transaction.connection, versions, model_id=model_id, **version)
    guess = SourceMetadata(Source.FILE_NAME, SourcePriority.GUESS, Metadata(name=name or "?"))
    transaction.execute(source_metadata.insert().values(**source_metadata_to_row(version_id, guess)))
    return version_id


def _create_missing_file(
    transaction: IndexTransaction, version_id: int, file: UnhashedFileRef, content: str | None
) -> None:
    now = transaction.now_ms
    location = {"root": "", "path": None, "inode": 0, "mtime_ns": 0, "first_seen": now, "missing_since": now}
    texts = {"kind": FileFormat.SAFETENSORS, "companions": "", "header": "{}", "hashes": "{}"}
    identity = {"name": file.name, "size_bytes": file.size_bytes, "layout": file.layout, "content": content}
    insert_row(transaction.connection, files, version_id=version_id, **identity, **location, **texts)


def _restore_edits(transaction: IndexTransaction, model_id: int, edits: Mapping[str, Mapping[str, Any]]) -> None:
    of_model = user_edits.c.model_id == model_id
    stored = {row.field: row.edited_at for row in transaction.execute(select(user_edits).where(of_model))}
    for name, edit in edits.items():
        if stored.get(name, -1) < edit["edited_at"]:
            transaction.execute(user_edits.delete().where(of_model, user_edits.c.field == name))
            row = {"field": name, "value": dump_json(edit["value"]), "edited_at": edit["edited_at"]}
            transaction.execute(user_edits.insert().values(model_id=model_id, **row))


def _restore_images(transaction: IndexTransaction, model_id: int, restored: Sequence[Mapping[str, Any]]) -> None:
    query = select(images.c.media_key).where(images.c.model_id == model_id)
    stored = set(transaction.execute(query).scalars())
    for image in restored:
        if image["media_key"] not in stored:
            insert_row(transaction.connection, images, model_id=model_id, version_id=None, **image)
