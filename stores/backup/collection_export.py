"""Export of a collection as a zip, written while it is sent: no more than a chunk of a picture is in memory.

What the manifest and the page say of each token waits in temporary files until all pictures are written.
"""

import io
import tempfile
import zipfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any

import structlog

from schemas.errors import Conflict, NotFound
from schemas.gallery.collections import Collection
from schemas.gallery.documents.archive import (
    MANIFEST_NAME,
    MAX_ARCHIVE_BYTES,
    MAX_TOKENS,
    PAGE_NAME,
    dump,
    dump_line,
    exported_record,
    member_stem,
    token_entry,
    write_manifest,
)
from schemas.gallery.documents.index_page import PAGE_END, render_item, render_start
from schemas.gallery.documents.token_metadata import MetadataUrls, build_metadata, without_private_prompt
from schemas.gallery.pages import MAX_PAGE_SIZE, Page
from schemas.gallery.provenance import KEPT_INPUTS, hide_private, list_facts
from schemas.gallery.tokens import Token
from stores import Stores

_LIMITS = (
    f"has at most {MAX_TOKENS:,} tokens and {MAX_ARCHIVE_BYTES // 1024**3} GiB. "
    "Move some of its tokens to another collection and export both; './darkroom backup' has no such limit."
)

log = structlog.get_logger(__name__)


class _Pipe(io.RawIOBase):
    """The file that the zip is written to; ``take`` returns the bytes written since the last call."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        """The zip writes; it cannot seek, so sizes stand behind each member."""
        return True

    def write(self, data: Any) -> int:
        """Keep a chunk."""
        self._chunks.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return the chunks since the last call."""
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


class CollectionExport:
    """One export. ``as_owner`` decides whether private prompts are in it."""

    def __init__(self, stores: Stores, collection: Collection, *, as_owner: bool) -> None:
        """Raise Conflict if the collection is too large for an archive that can be imported."""
        if collection.token_count > MAX_TOKENS:
            raise Conflict(f"The collection has {collection.token_count:,} tokens; an archive {_LIMITS}")
        if stores.gallery.tokens.count_picture_bytes(collection) > MAX_ARCHIVE_BYTES:
            raise Conflict(f"The pictures of the collection are too large; an archive {_LIMITS}")
        self._stores = stores
        self._collection = collection
        self._as_owner = as_owner
        self._pipe = _Pipe()
        self._written: set[str] = set()

    def read(self) -> Iterator[bytes]:
        """Yield the zip.

        Raises:
            Unavailable: the database or the media store does not answer; the bytes yielded so far are not a valid zip.
        """
        explicit, folder = self._collection.explicit, self._stores.settings.data_dir
        with (
            tempfile.TemporaryFile(dir=folder) as lines,
            tempfile.TemporaryFile(dir=folder) as items,
            zipfile.ZipFile(self._pipe, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for token in self._list_tokens():
                entry = yield from self._write_token(archive, token)
                lines.write(dump_line(entry))
                items.write(render_item(entry | self._page_fields(token), explicit=explicit).encode())
            yield from self._write_member(archive, PAGE_NAME, self._page(items))
            lines.seek(0)
            yield from self._write_member(archive, MANIFEST_NAME, write_manifest(self._collection, lines))
        yield self._pipe.take()

    def _page(self, items: IO[bytes]) -> Iterator[bytes]:
        yield render_start(self._collection.name, self._collection.description).encode()
        items.seek(0)
        yield from items
        yield PAGE_END.encode()

    def _write_member(self, archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        member = zipfile.ZipInfo(name)
        member.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(member, "w", force_zip64=True) as target:
            for chunk in chunks:
                target.write(chunk)
                if taken := self._pipe.take():
                    yield taken

    def _list_tokens(self) -> Iterator[Token]:
        """Yield the tokens that the collection has when this begins, without those that leave it meanwhile."""
        # All ids come first: a token that is moved while pictures are sent would be found twice, or not at all.
        ids = list(dict.fromkeys(listed.token_id for listed in self._list_pages()))[:MAX_TOKENS]
        for token_id in ids:
            with suppress(NotFound):
                token = self._stores.gallery.tokens.find(token_id)
                if token.collection.id == self._collection.id:
                    yield token

    def _list_pages(self) -> Iterator[Token]:
        cursor = None
        while True:
            page = self._stores.gallery.tokens.list_of_collection(self._collection, Page(cursor, 0, MAX_PAGE_SIZE))
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def _write_token(self, archive: zipfile.ZipFile, token: Token) -> Generator[bytes, None, dict[str, Any]]:
        stem, record = member_stem(token), self._record(token)
        picture = yield from self._write_asset(archive, token.media.asset, f"pictures/{stem}")
        poster = yield from self._write_asset(archive, token.media.poster, f"posters/{stem}")
        inputs: dict[str, str] = {}
        for name, asset in (record or {}).get(KEPT_INPUTS, {}).items() if self._shows_all(token) else ():
            member = yield from self._write_asset(archive, asset, None)
            inputs |= {name: member} if member else {}
        provenance = f"provenance/{stem}.json" if record else None
        if provenance and record:
            archive.writestr(provenance, dump_line(exported_record(record, as_owner=self._as_owner)))
        urls = MetadataUrls(f"../{PAGE_NAME}", f"../{picture}" if picture else "")
        archive.writestr(f"metadata/{stem}.json", dump(build_metadata(token, urls)))
        yield self._pipe.take()
        shown = token if self._as_owner else without_private_prompt(token)
        return token_entry(shown, picture, poster, provenance, inputs)

    def _write_asset(
        self, archive: zipfile.ZipFile, name: str | None, stem: str | None
    ) -> Generator[bytes, None, str | None]:
        """Write the object of an asset, once; return the name of its member, None if it has gone."""
        if name is None:
            return None
        try:
            asset = self._stores.gallery.assets.find(name)
            opened = self._stores.media.open(asset.media_key)
        except NotFound:
            log.warning("export.picture_missing", asset=name)
            return None
        member = f"{stem or f'inputs/{asset.sha256}'}.{name.rpartition('.')[2]}"
        if member in self._written:
            return member
        self._written.add(member)
        # Pictures are compressed already.
        with archive.open(zipfile.ZipInfo(member), "w", force_zip64=True) as target:
            for chunk in opened.chunks:
                target.write(chunk)
                yield self._pipe.take()
        return member

    def _shows_all(self, token: Token) -> bool:
        return self._as_owner or not token.is_prompt_private

    def _record(self, token: Token) -> dict[str, Any] | None:
        """Return the provenance of a token; None if it has none, or a private one that this export leaves out."""
        return token.provenance if token.provenance and self._shows_all(token) else None

    def _page_fields(self, token: Token) -> dict[str, Any]:
        """Return the texts for the page: never a private prompt, because other people see pages."""
        hidden = {"is_owner": False, "is_prompt_private": token.is_prompt_private}
        record = hide_private(token.provenance, **hidden) if token.provenance else {}
        media, public = token.media, without_private_prompt(token)
        return {
            "name": public.name,
            "description": public.description,
            "attributes": list(public.attributes),
            "facts": list_facts(record) if record else [],
            "prompt": record.get("prompt"),
            "type": media.type,
            "width": media.width,
            "height": media.height,
        }
