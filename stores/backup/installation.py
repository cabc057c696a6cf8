"""The backup of a whole installation: the database, the media store, and the keys and recipes of the data folder.

Jobs, the queue and usage counters are in Redis and are not part of it; neither are the folders of MODELS_DIR.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from ops.infra.clock import Clock, SystemClock
from ops.infra.database import list_revisions, migrate, open_database, recreate_tables
from ops.infra.files.atomic_write import atomic_file, create_atomically
from ops.infra.files.private_files import FILE_MODE, make_private_folder
from ops.infra.settings import Settings
from schemas.errors import Conflict, NotFound, Unavailable
from schemas.gallery.pictures import SCRATCH_PREFIX
from schemas.images.input_images import INPUTS_PREFIX
from schemas.images.inspected_image import RESULTS_PREFIX, UPLOADS_PREFIX
from stores.accounts.owner_key import KEY_FILE
from stores.backup.archive import DATABASE, FILE_PATTERN, FILES, MEDIA, BackupReader, BackupWriter, Manifest
from stores.backup.rows import DatabaseSnapshot, list_filled_tables, load_rows, open_snapshot, require_no_rows
from stores.environment.shared_settings import MEDIA_URL, SharedSettings
from stores.library import Library
from stores.media import Media
from stores.sites.credentials import KEY_FILE as ENCRYPTION_KEY_FILE
from stores.sql.errors import sql_errors

RECIPES_FOLDER = "recipes"
MAX_FILE_BYTES = 16 * 1024 * 1024
SPOOL_BYTES = 8 * 1024 * 1024
# Pictures of jobs and uploads that are in progress: nothing of the database refers to them.
PASSING_PREFIXES = tuple(f"{prefix}/" for prefix in (INPUTS_PREFIX, UPLOADS_PREFIX, SCRATCH_PREFIX, RESULTS_PREFIX))


@dataclass(slots=True)
class Installation:
    """The place that settings describe: a database, a media store and a data folder."""

    settings: Settings
    engine: Engine
    media: Media

    @property
    def key_check(self) -> str:
        """A digest of the key that encrypts logins and webhook secrets; empty without a key."""
        file = self.settings.data_dir / ENCRYPTION_KEY_FILE
        key = self.settings.session_key or (file.read_text() if file.exists() else "")
        return hashlib.sha256(f"darkroom-backup:{key}".encode()).hexdigest() if key else ""


@dataclass(slots=True)
class _Written:
    """The files and objects that a restore has written so far."""

    files: list[Path] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@contextmanager
def open_installation(settings: Settings) -> Iterator[Installation]:
    """Open an installation, whether or not it runs."""
    engine = open_database(settings.database_url)
    try:
        yield Installation(settings, engine, Media(settings.media_url))
    finally:
        engine.dispose()


def write_backup(installation: Installation, path: Path, clock: Clock) -> Manifest:
    """Write a backup of an installation, which may be in use.

    Most objects are copied before the state of the database is fixed, and those that came meanwhile after that, so
    that every object to which a row refers is in the backup.

    Raises:
        Conflict: the file exists, or the database has no tables.
        Unavailable: the database, the media store or the disk of the backup fails; no file is left.
    """
    if path.exists():
        raise Conflict(f"{path} exists: a backup does not overwrite files.")
    with _translate_disk_errors(), atomic_file(path, mode=FILE_MODE) as file, BackupWriter(file) as writer:
        _add_media(writer, installation.media)
        with open_snapshot(installation.engine) as snapshot:
            _add_media(writer, installation.media)
            _add_rows(writer, snapshot)
            _add_files(writer, installation.settings.data_dir)
            return writer.finish(clock.now_ms(), snapshot.state, installation.key_check)


def _add_media(writer: BackupWriter, media: Media) -> None:
    """Copy the objects that the backup does not have yet."""
    for key in media.list_keys():
        if key.startswith(PASSING_PREFIXES) or f"{MEDIA}/{key}" in writer.members:
            continue
        try:
            chunks = media.open(key).chunks
        except NotFound:
            # Deleted since it was listed.
            continue
        writer.add(f"{MEDIA}/{key}", chunks)


def _add_rows(writer: BackupWriter, snapshot: DatabaseSnapshot) -> None:
    for table in snapshot.state.columns:
        writer.add(f"{DATABASE}/{table}.jsonl", snapshot.read_lines(table))


def _add_files(writer: BackupWriter, folder: Path) -> None:
    for path in _list_files(folder):
        name = path.relative_to(folder).as_posix()
        if path.stat().st_size > MAX_FILE_BYTES or not FILE_PATTERN.fullmatch(name):
            raise Conflict(f"{path} cannot be backed up: its name or its size is not that of a recipe. Move it away.")
        writer.add(f"{FILES}/{name}", [path.read_bytes()])


def _list_files(folder: Path) -> list[Path]:
    """Return the keys and the recipes in a data folder."""
    paths = [folder / KEY_FILE, folder / ENCRYPTION_KEY_FILE, *sorted((folder / RECIPES_FOLDER).rglob("*"))]
    return [path for path in paths if path.is_file() and not path.is_symlink() and not path.name.startswith(".")]


def restore_backup(reader: BackupReader, installation: Installation) -> None:
    """Restore a backup into an empty installation; the tables are then migrated to the newest revision.

    Everything is checked before anything is written, and after an error everything written is removed. What others
    write into the place meanwhile is an error; none of it is lost.

    Raises:
        Invalid: the backup is damaged.
        Conflict: the place is not empty, or does not stay empty, or a newer Darkroom made the backup.
        Unavailable: the database or the media store does not answer.
    """
    revision = reader.manifest.database.revision
    if revision not in list_revisions():
        raise Conflict(f"A newer Darkroom made this backup (revision {revision}): restore it with that version.")
    reader.verify()
    require_empty(installation)
    written = _Written()
    try:
        with _translate_disk_errors():
            _restore_files(reader, installation.settings.data_dir, written)
            _restore_media(reader, installation.media, written)
        with sql_errors():
            # Writing the media may have taken hours, in which another Darkroom may have begun to use the database.
            recreate_tables(installation.settings.database_url, revision, require_no_rows)
        load_rows(installation.engine, reader.manifest.database, reader.read_lines)
    except BaseException:
        _take_back(written, installation.media)
        raise
    migrate(installation.settings.database_url)
    # The new place may have another media store, and has other machines.
    SharedSettings(installation.engine, installation.settings).forget(MEDIA_URL)
    Library.from_engine(installation.engine, SystemClock()).roots.forget_all()


def require_empty(installation: Installation) -> None:
    """Raise Conflict, with a list of the contents, if the installation has rows, objects, keys or recipes."""
    found = [f"the table {name}" for name in list_filled_tables(installation.engine)]
    found += [f"the file {path}" for path in _list_files(installation.settings.data_dir)]
    if (key := next(installation.media.list_keys(), None)) is not None:
        found.append(f"the object {key} in the media store")
    if found:
        listed = ", ".join(found[:5]) + (" and more" if len(found) > 5 else "")
        raise Conflict(f"A backup can be restored into an empty installation only; this one has {listed}.")


def _restore_files(reader: BackupReader, folder: Path, written: _Written) -> None:
    for name in reader.manifest.names(FILES):
        path = folder / name
        make_private_folder(path.parent)
        create_atomically(path, b"".join(reader.read(f"{FILES}/{name}")), mode=FILE_MODE)
        written.files.append(path)


def _restore_media(reader: BackupReader, media: Media, written: _Written) -> None:
    for key in reader.manifest.names(MEDIA):
        if media.exists(key):
            # Another Darkroom has written it meanwhile: it is neither overwritten nor, after an error, deleted.
            raise Conflict(f"The object {key} appeared in the empty media store while the backup was being restored.")
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file:
            for chunk in reader.read(f"{MEDIA}/{key}"):
                file.write(chunk)
            written.keys.append(key)
            media.put_file(key, file)


def _take_back(written: _Written, media: Media) -> None:
    for path in written.files:
        path.unlink(missing_ok=True)
    for key in written.keys:
        media.delete(key)


@contextmanager
def _translate_disk_errors() -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise Conflict(f"{error.filename2 or error.filename} exists.") from error
    except OSError as error:
        raise Unavailable(f"The files cannot be written: {error.strerror}.") from error
