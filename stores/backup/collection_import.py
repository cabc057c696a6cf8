"""Import of an exported collection: a new collection of the caller with new tokens, pictures and provenance.

The archive is untrusted. Members are read by the names that ``collection.json`` gives, never written to the disk under
their names, and bounded by what they unpack to. Every text is checked before anything is stored, and every picture is
examined like an upload. If the import fails, what it has stored is taken back.
"""

import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, Any

from schemas.errors import Conflict, Invalid, ServiceError, Unavailable
from schemas.gallery.assets import Asset
from schemas.gallery.collections import Collection, CollectionStatus, NewCollection
from schemas.gallery.documents.archive import (
    MANIFEST_NAME,
    MAX_MANIFEST_CHARS,
    MAX_RECORD_CHARS,
    ArchivedCollection,
    ArchivedToken,
    parse_manifest,
    parse_record,
)
from schemas.gallery.pictures import MAX_UPLOAD_BYTES, KeepMode, KeptPicture
from schemas.gallery.provenance import KEPT_INPUTS, input_pictures
from schemas.gallery.tokens import MediaStatus, TokenMedia
from stores import Stores

MAX_MEMBERS = 50_000
# Texts compress well; above this, it is a bomb.
MAX_RATIO = 1000
CHUNK_BYTES = 256 * 1024
MAX_SLUG_ATTEMPTS = 5
# zipfile raises these for damaged, encrypted and malformed archives.
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError)


@dataclass(slots=True)
class ImportResult:
    """The new collection, how many tokens it has, and which pictures were refused, each in a sentence."""

    collection: Collection
    tokens: int = 0
    problems: list[str] = field(default_factory=list)


def import_collection(stores: Stores, caller_id: str, file: IO[bytes]) -> ImportResult:
    """Import the archive in ``file``.

    Raises:
        Invalid: it is not an exported collection, or something in it is not acceptable; nothing is stored then.
        Unavailable: a store does not answer; nothing is kept then.
    """
    with _open_archive(file) as archive:
        archived = parse_manifest(_read_text(archive, MANIFEST_NAME, MAX_MANIFEST_CHARS))
        records = [_read_record(archive, token) for token in archived.tokens]
        _require_members(archive, archived)
        importer = _Importer(stores, caller_id, archive)
        return importer.run(archived, records)


class _Importer:
    def __init__(self, stores: Stores, caller_id: str, archive: zipfile.ZipFile) -> None:
        self._stores = stores
        self._caller_id = caller_id
        self._archive = archive
        self._created: list[str] = []

    def run(self, archived: ArchivedCollection, records: list[dict[str, Any] | None]) -> ImportResult:
        result = ImportResult(self._create_collection(archived.fields))
        collections = self._stores.gallery.collections
        try:
            for token, record in zip(archived.tokens, records, strict=True):
                self._import_token(result, token, record)
            if archived.status is CollectionStatus.ARCHIVED:
                collections.update(self._caller_id, result.collection.id, {"status": CollectionStatus.ARCHIVED})
            result.collection = collections.find(result.collection.slug).collection
        except BaseException:
            self._take_back(result.collection)
            raise
        return result

    def _create_collection(self, fields: NewCollection) -> Collection:
        """Create the collection; if its slug is taken, under the one that is suggested."""
        for _ in range(MAX_SLUG_ATTEMPTS):
            try:
                return self._stores.gallery.collections.create(self._caller_id, fields)
            except Conflict as error:
                if not error.details.get("suggestion"):
                    raise
                fields = replace(fields, slug=error.details["suggestion"])
        raise Conflict("Other collections take every suggested slug; try again.")

    def _import_token(self, result: ImportResult, token: ArchivedToken, record: dict[str, Any] | None) -> None:
        media, assets = TokenMedia(), []
        if token.picture:
            try:
                kept = self._keep(token, token.picture, record)
                media, assets = kept.media, list(kept.assets)
            except Invalid as error:
                reason = str(error.details.get("reason") or error.code)
                media = TokenMedia(MediaStatus.FAILED, reason=reason)
                result.problems.append(f"{token.fields.name}: {error.message}")
        if record is not None:
            record[KEPT_INPUTS] = self._keep_inputs(token.inputs, record, assets)
        fields = replace(token.fields, provenance=record)
        added = self._stores.gallery.tokens.add_from_job(self._caller_id, result.collection, fields, media, assets)
        self._created.append(added.token_id)
        result.tokens += 1

    def _keep(self, token: ArchivedToken, member: str, record: Mapping[str, Any] | None) -> KeptPicture:
        """Keep a picture: its exact bytes if they are those of a job with a public prompt, else without metadata."""
        with self._unpack(member) as (file, sha256):
            is_original = record is not None and record["image"]["sha256"] == sha256
            mode = KeepMode.EXACT if is_original and not token.fields.is_prompt_private else KeepMode.CLEAN
            pictures = self._stores.gallery_media.pictures
            if token.poster is None:
                return pictures.keep_file(file, mode)
            with self._unpack(token.poster) as (poster, _):
                return pictures.keep_bytes(file.read(), mode, poster.read())

    def _keep_inputs(
        self, members: Mapping[str, str], record: Mapping[str, Any], assets: list[Asset]
    ) -> dict[str, str]:
        """Keep the pictures of a job's inputs that are what the record says; return the names of their assets."""
        kept: dict[str, str] = {}
        for name, image in input_pictures(record).items():
            if name not in members:
                continue
            with self._unpack(members[name]) as (file, sha256):
                if sha256 != image.sha256:
                    continue
                try:
                    picture = self._stores.gallery_media.pictures.keep_file(file, KeepMode.EXACT)
                except Invalid:
                    continue
            asset = next(each for each in picture.assets if each.name == picture.media.asset)
            assets.append(asset)
            kept[name] = asset.name
        return kept

    @contextmanager
    def _unpack(self, member: str) -> Iterator[tuple[IO[bytes], str]]:
        """Yield a temporary file with the content of a member, and its SHA-256."""
        digest, size = hashlib.sha256(), 0
        with tempfile.TemporaryFile(dir=self._stores.settings.data_dir) as file:
            for chunk in _read_chunks(self._archive, member, MAX_UPLOAD_BYTES):
                size += len(chunk)
                digest.update(chunk)
                file.write(chunk)
            file.seek(0)
            yield file, digest.hexdigest()

    def _take_back(self, collection: Collection) -> None:
        for token_id in self._created:
            self._stores.gallery.tokens.delete(self._caller_id, token_id)
        self._stores.gallery.collections.delete(self._caller_id, collection.id)


def _open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    with _translate_errors():
        archive = zipfile.ZipFile(file)
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise Invalid(f"The archive has {len(infos)} members; at most {MAX_MEMBERS} are read.")
        names = [info.filename for info in infos]
        if len(set(names)) < len(names):
            raise Invalid("The archive has two members of the same name.")
        if outside := next((name for name in names if _leads_outside(name)), None):
            raise Invalid(f"The archive has a member with the path {outside[:80]!r}, which leads out of it.")
        if bomb := next((info for info in infos if info.file_size > MAX_RATIO * max(1, info.compress_size)), None):
            raise Invalid(f"{bomb.filename[:80]!r} unpacks to more than {MAX_RATIO} times its size.")
        return archive


def _leads_outside(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name


def _require_members(archive: zipfile.ZipFile, archived: ArchivedCollection) -> None:
    """Require all members that the tokens name, before anything is stored; raises Invalid."""
    present = {info.filename: info for info in archive.infolist()}
    named = (name for token in archived.tokens for name in (token.picture, token.poster, *token.inputs.values()))
    for name in filter(None, named):
        if name not in present:
            raise Invalid(f"The archive lacks {name!r}, which {MANIFEST_NAME} names.")
        if present[name].file_size > MAX_UPLOAD_BYTES:
            raise Invalid(f"{name!r} is larger than {MAX_UPLOAD_BYTES // 2**20} MiB.")


def _read_record(archive: zipfile.ZipFile, token: ArchivedToken) -> dict[str, Any] | None:
    if token.provenance is None:
        return None
    try:
        return parse_record(_read_text(archive, token.provenance, MAX_RECORD_CHARS))
    except Invalid as error:
        raise Invalid(problems=[f"{token.provenance}: {problem}" for problem in error.problems]) from error


def _read_text(archive: zipfile.ZipFile, name: str, max_chars: int) -> str:
    if name not in archive.namelist():
        raise Invalid(f"The archive lacks {name!r}: it is not an exported collection, or not all of one.")
    with _translate_errors():
        return b"".join(_read_chunks(archive, name, 4 * max_chars)).decode()


def _read_chunks(archive: zipfile.ZipFile, name: str, max_bytes: int) -> Iterator[bytes]:
    """Yield a member, whatever size it claims to have; raises Invalid if it is larger or damaged."""
    size = 0
    with _translate_errors(), archive.open(name) as source:
        while chunk := source.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise Invalid(f"{name!r} is larger than {max_bytes // 2**20} MiB.")
            yield chunk


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except ServiceError:
        raise
    except ARCHIVE_ERRORS as error:
        raise Invalid(f"The archive is damaged or not a zip: {str(error)[:100]}.") from error
    except OSError as error:
        raise Unavailable(f"The disk for the import is full or broken: {error.strerror}.") from error
