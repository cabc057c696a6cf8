"""Import of an exported collection: a new collection of the caller with new tokens, pictures and provenance.

Every text of the archive is checked before anything is stored, and every picture is examined like an upload. The
collection is a draft until all of it is there. If the import fails, everything that it has stored is deleted.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import IO, Any

import structlog

from schemas.errors import Conflict, Invalid, NotFound, ServiceError
from schemas.gallery.asset_names import name_like
from schemas.gallery.assets import Asset
from schemas.gallery.collections import Collection, NewCollection
from schemas.gallery.documents.archive import ArchivedCollection, ArchivedToken
from schemas.gallery.pictures import KeepMode, KeptPicture
from schemas.gallery.provenance import KEPT_INPUTS, input_pictures
from schemas.gallery.tokens import MediaStatus, TokenMedia
from stores import Stores
from stores.backup.collection_archive import CollectionArchive

MAX_SLUG_ATTEMPTS = 5

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ImportResult:
    """The new collection, how many tokens it has, and which pictures were refused, each in a sentence."""

    collection: Collection
    tokens: int = 0
    problems: list[str] = field(default_factory=list)


def import_collection(
    stores: Stores, caller_id: str, file: IO[bytes], on_progress: Callable[[], None] = lambda: None
) -> ImportResult:
    """Import the archive in ``file``. ``on_progress`` is called often.

    Raises:
        Invalid: it is not an exported collection, or something in it is not acceptable; nothing is stored then.
        NotFound, Forbidden: the caller deletes the new collection meanwhile.
        Unavailable: a store does not answer; nothing is kept then.
    """
    with CollectionArchive.open(file) as archive:
        return _Importer(stores, caller_id, archive).run(archive.read_collection(on_progress), on_progress)


class _Importer:
    def __init__(self, stores: Stores, caller_id: str, archive: CollectionArchive) -> None:
        self._stores = stores
        self._caller_id = caller_id
        self._archive = archive
        self._created: list[str] = []
        # Tokens share inputs: each is examined once.
        self._inputs: dict[str, tuple[str, Asset | None]] = {}

    def run(self, archived: ArchivedCollection, on_progress: Callable[[], None]) -> ImportResult:
        result = ImportResult(self._create_draft(archived.fields))
        try:
            for token in archived.tokens:
                on_progress()
                self._import_token(result, token)
            collections = self._stores.gallery.collections
            result.collection = collections.publish(self._caller_id, result.collection.id, archived.status)
        except BaseException:
            self._take_back(result.collection)
            raise
        return result

    def _create_draft(self, fields: NewCollection) -> Collection:
        """Create the collection; if its slug is taken or reserved, use the suggested one."""
        for _ in range(MAX_SLUG_ATTEMPTS):
            try:
                return self._stores.gallery.collections.create(self._caller_id, fields, is_draft=True)
            except (Conflict, Invalid) as error:
                if not error.details.get("suggestion"):
                    raise
                fields = replace(fields, slug=error.details["suggestion"])
        raise Conflict("Other collections take every suggested slug; try again.")

    def _import_token(self, result: ImportResult, token: ArchivedToken) -> None:
        record = self._archive.read_record(token.provenance)
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
        added = self._stores.gallery.tokens.add_from_job(
            self._caller_id, result.collection, fields, media, assets, is_draft=True
        )
        self._created.append(added.token_id)
        result.tokens += 1

    def _keep(self, token: ArchivedToken, member: str, record: Mapping[str, Any] | None) -> KeptPicture:
        """Keep a picture: its exact bytes if they are those of its job, otherwise without metadata.

        The metadata may tell a prompt, so that of a private one is always removed.
        """
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
            sha256, asset = self._keep_input(members[name])
            if asset is None or sha256 != image.sha256:
                continue
            own = replace(asset, name=name_like(asset.name))
            assets.append(own)
            kept[name] = own.name
        return kept

    def _keep_input(self, member: str) -> tuple[str, Asset | None]:
        """Return the SHA-256 of a member, and the asset of its object; None if it is not acceptable."""
        if member in self._inputs:
            sha256, asset = self._inputs[member]
            # No name protects the object yet if the record of the first token did not match it.
            if asset is None or self._protect(asset):
                return sha256, asset
        with self._unpack(member) as (file, sha256):
            try:
                picture = self._stores.gallery_media.pictures.keep_file(file, KeepMode.EXACT)
            except Invalid:
                self._inputs[member] = sha256, None
            else:
                asset = next(each for each in picture.assets if each.name == picture.media.asset)
                self._inputs[member] = sha256, asset
        return self._inputs[member]

    def _protect(self, asset: Asset) -> bool:
        """Protect an object from being swept; return whether it is still there."""
        self._stores.gallery.assets.hold([asset.media_key])
        return self._stores.media.exists(asset.media_key)

    def _unpack(self, member: str) -> AbstractContextManager[tuple[IO[bytes], str]]:
        return self._archive.unpack(member, self._stores.settings.data_dir)

    def _take_back(self, collection: Collection) -> None:
        """Delete what is there of the collection; its owner may have deleted or added something meanwhile.

        The error that made it necessary is the one that the caller learns of.
        """
        gallery = self._stores.gallery
        try:
            for token_id in self._created:
                with suppress(NotFound):
                    gallery.tokens.delete(self._caller_id, token_id)
            with suppress(NotFound):
                gallery.collections.delete(self._caller_id, collection.id)
        except ServiceError as error:
            log.warning("import.not_taken_back", collection=collection.slug, code=error.code, error=str(error))
