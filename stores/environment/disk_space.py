"""The folders that this machine's processes write to: which ones are needed, and whether they still take data."""

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import structlog

from ops.infra.blocking import run_blocking
from ops.infra.database import sqlite_file
from ops.infra.files.private_files import prepare_data_folder
from ops.infra.settings import Settings, SettingsError
from stores.accounts.owner_key import KEY_FILE as API_KEY_FILE
from stores.sites.credentials import KEY_FILE as SESSION_KEY_FILE

CHECK_INTERVAL_S = 2.0
MIN_FREE_BYTES = 16 * 1024 * 1024
PROBE = bytes(64 * 1024)
# A folder may be read-only on purpose; these say that the disk, a quota or a limit of the process is exhausted.
FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


log = structlog.get_logger(__name__)


class DiskSpace:
    """Checks whether folders, named by their purpose, take more data. Folders that do not exist are skipped."""

    def __init__(self, folders: Mapping[str, Path], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folders = folders
        self._monotonic = monotonic
        self._checked_at = float("-inf")
        self.last_problem = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the folders that the settings name."""
        folders = {"data": settings.data_dir}
        if media := _media_folder(settings):
            folders["media"] = media
        if database := _database_folder(settings):
            folders["database"] = database
        return cls(folders)

    def problem(self) -> str:
        """Return which folder takes no more data, and why; empty if there is room. Reuses a recent answer."""
        if self._monotonic() - self._checked_at >= CHECK_INTERVAL_S:
            self._checked_at = self._monotonic()
            found = run_blocking(self._find_problem)
            if bool(found) != bool(self.last_problem):
                log.error("disk.full", problem=found) if found else log.info("disk.has_room")
            self.last_problem = found
        return self.last_problem

    def free_bytes(self) -> int:
        """Return the free bytes of the fullest disk."""
        found = []
        for folder in self._folders.values():
            with contextlib.suppress(OSError):
                found.append(shutil.disk_usage(folder).free)
        return min(found, default=0)

    def _find_problem(self) -> str:
        for name, folder in self._folders.items():
            if reason := _refusal(folder):
                return (
                    f"The disk of the {name} folder is full: {reason}. Free some space; work continues automatically."
                )
        return ""


def prepare_folders(settings: Settings) -> None:
    """Create the data folder. A process whose settings keep nothing there starts without it.

    Raises:
        SettingsError: the folder is needed and cannot be written; the message says for what.
    """
    folder = settings.data_dir
    reason = _prepare(folder)
    if not reason:
        return
    if uses := list(_uses_of_data_folder(settings)):
        raise SettingsError(
            f"DATA_DIR: {str(folder)!r} cannot be written: {reason}. Name another folder, or make it unnecessary by "
            f"setting {', '.join(uses)}."
        )
    log.info("data_folder.not_used", folder=str(folder), reason=reason)


def _prepare(folder: Path) -> str:
    """Create a folder; returns why it cannot be written, or nothing."""
    try:
        prepare_data_folder(folder)
    except OSError as error:
        return error.strerror or type(error).__name__
    return "" if os.access(folder, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)


def _uses_of_data_folder(settings: Settings) -> Iterator[str]:
    """Yield the settings whose absence makes this process write into the data folder."""
    folder = settings.data_dir
    if not (settings.api_key or _exists(folder / API_KEY_FILE)):
        yield "API_KEY"
    if not (settings.session_key or _exists(folder / SESSION_KEY_FILE)):
        yield "SESSION_KEY"
    for name, used in (("DATABASE_URL", _database_folder(settings)), ("MEDIA_URL", _media_folder(settings))):
        if used and used.is_relative_to(folder):
            yield name


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _media_folder(settings: Settings) -> Path | None:
    """Return the folder of the media store; None if it is in a cloud."""
    url = urlsplit(settings.media_url)
    return Path(unquote(url.path)) if url.scheme == "file" else None


def _database_folder(settings: Settings) -> Path | None:
    """Return the folder of the SQLite file; None if the database is a server."""
    file = sqlite_file(settings.database_url)
    return file.parent if file else None


def _refusal(folder: Path) -> str:
    """Return why a folder takes no data; empty if it does, or if it is not there."""
    try:
        usage = shutil.disk_usage(folder)
        if usage.total > 0 and usage.free < MIN_FREE_BYTES:
            return f"{usage.free // 1024} KiB are free"
        probe = folder / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            probe.write_bytes(PROBE)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return (error.strerror or type(error).__name__) if error.errno in FULL_ERRORS else ""
    return ""
