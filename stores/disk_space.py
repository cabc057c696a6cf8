"""Whether the folders that this machine's processes write to still take data."""

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

import structlog

from ops.infra.blocking import run_blocking
from ops.infra.settings import Settings

CHECK_INTERVAL_S = 2.0
MIN_FREE_BYTES = 16 * 1024 * 1024
PROBE = bytes(64 * 1024)
# A folder may be read-only on purpose; these say that the disk, a quota or a limit of the process is exhausted.
FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

log = structlog.get_logger(__name__)


class DiskSpace:
    """The room in some folders, by what they are for. Folders that do not exist are not written to."""

    def __init__(self, folders: Mapping[str, Path], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._folders = folders
        self._monotonic = monotonic
        self._checked_at = float("-inf")
        self.last_problem = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the folders that the settings name."""
        folders = {"data": settings.data_dir}
        media, database = urlsplit(settings.media_url), settings.database_url
        if media.scheme == "file":
            folders["media"] = Path(unquote(media.path))
        if database.startswith("sqlite:///"):
            folders["database"] = Path(database.removeprefix("sqlite:///").partition("?")[0]).parent
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
                return f"The disk of the {name} folder is full: {reason}. Make room; work continues by itself."
        return ""


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
