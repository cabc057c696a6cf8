"""The file format of a backup: a zip of members, and a manifest with the size and SHA-256 of each of them.

Members are ``database/TABLE.jsonl``, ``media/KEY`` and ``files/PATH``. The manifest is written last, so a backup that
was interrupted has none. A backup holds keys: its reader trusts it as little as any other file, but its owner must
keep it as safe as the data folder.
"""

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Self

from schemas.errors import Invalid
from schemas.untrusted_json import JsonReader
from stores.backup.rows import DatabaseState
from stores.media import KEY_PATTERN

FORMAT, VERSION = "darkroom-backup", 1
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1024**3
CHUNK_BYTES = 256 * 1024
DATABASE, MEDIA, FILES = "database", "media", "files"
# Names in the data folder. Every part begins with a letter or digit, so none is ``..`` or hidden.
FILE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,4}", re.ASCII)
TABLE_PATTERN = re.compile(r"[a-z_]{1,60}\.jsonl", re.ASCII)
PATTERNS = {DATABASE: TABLE_PATTERN, MEDIA: KEY_PATTERN, FILES: FILE_PATTERN}
MANIFEST_READER = JsonReader("The manifest", max_depth=8)
# zipfile and the reading of a manifest raise these for files that are damaged, encrypted or malformed.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """The size and the SHA-256 of a member."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup contains. ``key_check`` tells whether an encryption key is the one of the backup."""

    created_at: int
    database: DatabaseState
    members: Mapping[str, Member]
    key_check: str

    def names(self, folder: str) -> list[str]:
        """Return the names of the members in a folder, without the folder."""
        return [name.partition("/")[2] for name in self.members if name.startswith(f"{folder}/")]

    def to_json(self) -> dict[str, Any]:
        """Return the content of the manifest's file."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> "Manifest":
        """Read and check a manifest; raises ValueError, and the errors of wrong types."""
        if value["format"] != FORMAT:
            raise ValueError("its manifest is not that of a backup")
        if value["version"] != VERSION:
            raise ValueError(f"its format has version {value['version']!r}; this Darkroom reads version {VERSION}")
        stored = value["database"]
        columns = {str(name): tuple(map(str, names)) for name, names in stored["columns"].items()}
        sequences = {str(name): int(largest) for name, largest in stored["sequences"].items()}
        members = {
            name: Member(int(each["size_bytes"]), str(each["sha256"])) for name, each in value["members"].items()
        }
        if wrong := [name for name in members if not is_member_name(name)]:
            raise ValueError(f"it has a member with the name {wrong[0][:80]!r}")
        if {f"{name}.jsonl" for name in columns} != {
            name.partition("/")[2] for name in members if name.startswith(DATABASE)
        }:
            raise ValueError("its tables are not those of its manifest")
        if set(sequences) - set(columns):
            raise ValueError("its manifest counts the ids of tables that it does not have")
        state = DatabaseState(str(stored["revision"]), columns, sequences)
        return cls(int(value["created_at"]), state, members, str(value["key_check"]))


def is_member_name(name: str) -> bool:
    """Whether a backup may have a member of this name."""
    folder, _, rest = name.partition("/")
    return folder in PATTERNS and bool(PATTERNS[folder].fullmatch(rest))


class BackupWriter:
    """Writes the members of a backup, then its manifest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self.members: dict[str, Member] = {}

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Release the file, which has no manifest unless ``finish`` wrote it."""
        self._archive.close()

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write a member. Pictures are compressed already, so only the database is compressed."""
        if not is_member_name(name) or name in self.members:
            raise ValueError(f"{name!r} is not a name of a new member")
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED if name.startswith(f"{DATABASE}/") else zipfile.ZIP_STORED
        digest, size = hashlib.sha256(), 0
        with self._archive.open(info, "w", force_zip64=True) as target:
            for chunk in chunks:
                target.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        self.members[name] = Member(size, digest.hexdigest())

    def finish(self, created_at: int, database: DatabaseState, key_check: str) -> Manifest:
        """Write the manifest."""
        manifest = Manifest(created_at, database, self.members, key_check)
        self._archive.writestr(MANIFEST_NAME, json.dumps(manifest.to_json()))
        return manifest


class BackupReader:
    """Reads a backup; ``open_backup`` creates it."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    def verify(self) -> None:
        """Compare every member with its size and SHA-256; raises Invalid for the first that differs."""
        names = [info.filename for info in self._archive.infolist()]
        if sorted(names) != sorted([*self.manifest.members, MANIFEST_NAME]):
            raise Invalid("The backup does not contain exactly the members of its manifest.")
        for name in self.manifest.members:
            for _ in self.read(name):
                pass

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a member in chunks; raises Invalid at its end, or earlier, if it is not as it was written."""
        member = self.manifest.members[name]
        digest, size = hashlib.sha256(), 0
        with _translate_errors(), self._archive.open(name) as source:
            while size <= member.size_bytes and (chunk := source.read(CHUNK_BYTES)):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
        if (size, digest.hexdigest()) != (member.size_bytes, member.sha256):
            raise Invalid(f"The backup is damaged: {name} is not as it was written.")

    def read_lines(self, table: str) -> Iterator[bytes]:
        """Yield the rows of a table; raises as ``read``."""
        rest = b""
        for chunk in self.read(f"{DATABASE}/{table}.jsonl"):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            raise Invalid(f"The backup is damaged: the last row of {table} is incomplete.")


@contextmanager
def open_backup(path: Path) -> Iterator[BackupReader]:
    """Open a backup and read its manifest; raises Invalid."""
    with path.open("rb") as file, _open_archive(file) as archive:
        with _translate_errors():
            info = archive.getinfo(MANIFEST_NAME)
            if info.file_size > MAX_MANIFEST_BYTES:
                raise ValueError("its manifest is too large")
            manifest = Manifest.from_json(MANIFEST_READER.parse(archive.read(info).decode()))
        yield BackupReader(archive, manifest)


def _open_archive(file: BinaryIO) -> zipfile.ZipFile:
    with _translate_errors():
        return zipfile.ZipFile(file)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except ARCHIVE_ERRORS as error:
        raise Invalid(f"This is not a complete backup: {str(error)[:200]}.") from error
