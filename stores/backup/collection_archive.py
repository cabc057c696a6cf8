"""The zip of an exported collection that is imported: untrusted, so it is read within limits and in small pieces.

Members are read by the names that ``collection.json`` gives, and never written to the disk under their names.
"""

import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from ops.infra.blocking import run_blocking
from schemas.errors import Invalid, ServiceError, Unavailable
from schemas.gallery.documents.archive import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    MAX_RECORD_BYTES,
    MAX_RECORDS_BYTES,
    ArchivedCollection,
    parse_manifest,
    parse_record,
)
from schemas.gallery.pictures import MAX_UPLOAD_BYTES

MAX_MEMBERS = 50_000
# zipfile reads the whole directory of an archive into memory, however many members it lists.
MAX_READ_BYTES = 8 * 1024 * 1024
# Texts compress well; above this, it is a bomb.
MAX_RATIO = 1000
CHUNK_BYTES = 256 * 1024
# zipfile raises these for damaged, encrypted and malformed archives.
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError)


class _BoundedReads:
    """A file of which no more than ``MAX_READ_BYTES`` are read at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Read; raises Invalid for more than the limit."""
        if size > MAX_READ_BYTES:
            raise Invalid(f"The archive lists too many members; at most {MAX_MEMBERS} are read.")
        return self._file.read(size if size >= 0 else MAX_READ_BYTES)


class CollectionArchive:
    """An open archive. Its methods do their work in a thread, so that other requests go on."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._sizes = {info.filename: info.file_size for info in archive.infolist()}

    @classmethod
    @contextmanager
    def open(cls, file: IO[bytes]) -> Iterator[Self]:
        """Open the archive in ``file``; raises Invalid."""
        with run_blocking(lambda: _open_zip(file)) as archive:
            yield cls(archive)

    def read_collection(self, on_progress: Callable[[], None] = lambda: None) -> ArchivedCollection:
        """Return what the archive contains. All its texts have been checked, and the members that it names are there.

        ``on_progress`` is called for each token.

        Raises:
            Invalid: something in it is not acceptable.
        """
        collection = run_blocking(lambda: parse_manifest(self._read_text(MANIFEST_NAME, MAX_MANIFEST_BYTES)))
        self._require_members(collection)
        for token in collection.tokens:
            on_progress()
            # Nothing of it is kept: all records together may be larger than the memory.
            self.read_record(token.provenance)
        return collection

    def read_record(self, name: str | None) -> dict[str, Any] | None:
        """Return a provenance record, None without a name; raises Invalid."""
        if name is None:
            return None
        try:
            return run_blocking(lambda: parse_record(self._read_text(name, MAX_RECORD_BYTES)))
        except Invalid as error:
            raise Invalid(problems=[f"{name}: {problem}" for problem in error.problems]) from error

    @contextmanager
    def unpack(self, name: str, folder: Path) -> Iterator[tuple[IO[bytes], str]]:
        """Yield a temporary file with the content of a picture, and its SHA-256; raises Invalid and Unavailable."""
        with tempfile.TemporaryFile(dir=folder) as file:
            digest = run_blocking(lambda: self._copy(name, file))
            yield file, digest

    def _copy(self, name: str, file: IO[bytes]) -> str:
        digest = hashlib.sha256()
        with _translate_errors():
            for chunk in self._read_chunks(name, MAX_UPLOAD_BYTES):
                digest.update(chunk)
                file.write(chunk)
            file.seek(0)
        return digest.hexdigest()

    def _require_members(self, collection: ArchivedCollection) -> None:
        records_bytes = 0
        for token in collection.tokens:
            for name in filter(None, (token.picture, token.poster, token.provenance, *token.inputs.values())):
                if name not in self._sizes:
                    raise Invalid(f"The archive lacks {name!r}, which {MANIFEST_NAME} names.")
                if self._sizes[name] > MAX_UPLOAD_BYTES:
                    raise Invalid(f"{name!r} is larger than {MAX_UPLOAD_BYTES // 2**20} MiB.")
            records_bytes += self._sizes[token.provenance] if token.provenance else 0
        if records_bytes > MAX_RECORDS_BYTES:
            raise Invalid(f"All provenance together has more than {MAX_RECORDS_BYTES // 2**20} MiB.")

    def _read_text(self, name: str, max_bytes: int) -> str:
        if name not in self._sizes:
            raise Invalid(f"The archive lacks {name!r}: it is not an exported collection, or not all of one.")
        with _translate_errors():
            return b"".join(self._read_chunks(name, max_bytes)).decode()

    def _read_chunks(self, name: str, max_bytes: int) -> Iterator[bytes]:
        """Yield a member, whatever size it claims to have; raises Invalid if it is larger or damaged."""
        size = 0
        with _translate_errors(), self._archive.open(name) as source:
            while chunk := source.read(CHUNK_BYTES):
                size += len(chunk)
                if size > max_bytes:
                    raise Invalid(f"{name!r} is larger than {max_bytes // 2**20} MiB.")
                yield chunk


def _open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    with _translate_errors():
        archive = zipfile.ZipFile(_BoundedReads(file))
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
