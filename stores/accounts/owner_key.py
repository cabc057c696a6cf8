"""The owner's API key: the setting API_KEY, or a file that only the owner can read.

Processes check the file once a second. If it is missing or damaged later, they keep the key that they have.
"""

import hashlib
import hmac
import json
import math
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import structlog

from ops.infra.files.secret_file import exclusive_lock, read_or_create, replace
from ops.infra.settings import Settings, SettingsError
from schemas.errors import Conflict, Unauthorized, Unavailable

KEY_FILE = "api-key.json"
LOCK_FILE = "api-key.lock"
RECHECK_INTERVAL_S = 1.0
MAX_FILE_BYTES = 4096
KEY_BYTES = 32
KEY_PATTERN = re.compile(r"[!-~]{16,512}")

log = structlog.get_logger(__name__)


class InvalidKeyFileError(ValueError):
    """The key file does not contain a key."""


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """A key, its hash, and the fingerprint of its file: device, inode, size, times in ns; empty without a file."""

    key: str = field(repr=False)
    key_hash: str = field(repr=False)
    fingerprint: tuple[int, ...] = ()


class OwnerKey:
    """The owner's present key. Safe to share between threads."""

    def __init__(
        self, data_dir: Path, configured: str | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``configured`` takes precedence over the file in ``data_dir``; ``monotonic`` times the checks of the file."""
        self._file = data_dir / KEY_FILE
        self._lock_file = data_dir / LOCK_FILE
        self.is_configured = bool(configured)
        self._monotonic = monotonic
        self._snapshot = KeySnapshot(configured, hash_key(configured)) if configured else None
        self._next_check = math.inf if configured else -math.inf
        self._is_unreadable = False
        self._lock = threading.Lock()
        # Called with a new key after ``regenerate`` has stored it.
        self.on_replaced: Callable[[str], object] = lambda _key: None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the key of an installation."""
        return cls(settings.data_dir, settings.api_key)

    def read(self) -> str:
        """Return the key; on first use it is created if there is no file.

        Raises:
            SettingsError: on first use the file cannot be read or does not contain a key.
        """
        return self._current().key

    def read_hash(self) -> str:
        """Return the key's hash; raises as ``read``."""
        return self._current().key_hash

    def refresh(self) -> None:
        """Check the file now, however recent the last check is; raises as ``read``."""
        self._current()
        if not self.is_configured:
            with self._lock:
                self._check_file()

    def regenerate(self, current_key: str | None = None) -> str:
        """Replace the key by a new one of 64 hexadecimal digits and return it; here the old one is invalid at once.

        Of several concurrent calls with the same ``current_key`` only one succeeds.

        Raises:
            Conflict: API_KEY sets the key, or another process is regenerating it.
            Unauthorized: ``current_key`` is no longer the key.
            Unavailable: the file cannot be written.
        """
        if self.is_configured:
            raise Conflict(
                "The owner's key is set by API_KEY and cannot be regenerated: change API_KEY and restart every process."
            )
        key = secrets.token_hex(KEY_BYTES)
        with self._lock, _translate_write_errors(self._file), exclusive_lock(self._lock_file):
            if current_key is not None and not hmac.compare_digest(hash_key(current_key), self._hash_in_file()):
                raise Unauthorized
            replace(self._file, json.dumps({"key": key}))
            self._set(_read_file(self._file))
        self.on_replaced(key)
        return key

    def _hash_in_file(self) -> str:
        """Return the hash of the key in the file, or of the last known key if the file is unusable."""
        try:
            return _read_file(self._file).key_hash
        except (OSError, InvalidKeyFileError):
            return self._snapshot.key_hash if self._snapshot else ""

    def _current(self) -> KeySnapshot:
        snapshot = self._snapshot
        if snapshot is not None and self._monotonic() < self._next_check:
            return snapshot
        with self._lock:
            if self._monotonic() >= self._next_check:
                self._check_file()
            return self._snapshot or self._set(self._read_first())

    def _read_first(self) -> KeySnapshot:
        try:
            if not self._file.exists():
                read_or_create(self._file, lambda: json.dumps({"key": secrets.token_hex(KEY_BYTES)}))
            return _read_file(self._file)
        except OSError as error:
            raise SettingsError(f"{self._file}: cannot be read: {error.strerror}.") from error
        except InvalidKeyFileError as error:
            hint = "restore the key, or create a new one with './darkroom api-key regenerate'"
            raise SettingsError(f"{self._file}: {error}; {hint}.") from error

    def _check_file(self) -> None:
        snapshot = self._snapshot
        if snapshot is None:
            return
        try:
            is_changed = _fingerprint(self._file.stat()) != snapshot.fingerprint
            self._set(_read_file(self._file) if is_changed else snapshot)
        except (OSError, InvalidKeyFileError) as error:
            # The known key stays valid, so that a lost disk does not lock the owner out.
            self._next_check = self._monotonic() + RECHECK_INTERVAL_S
            if not self._is_unreadable:
                log.warning("owner_key.unreadable", file=str(self._file), error=str(error))
            self._is_unreadable = True

    def _set(self, snapshot: KeySnapshot) -> KeySnapshot:
        self._snapshot = snapshot
        self._next_check = self._monotonic() + RECHECK_INTERVAL_S
        self._is_unreadable = False
        return snapshot


def hash_key(key: str) -> str:
    """Return the hash that is stored and compared in place of a key.

    A plain SHA-256 is enough: generated keys have 256 random bits, too many to search.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def _read_file(file: Path) -> KeySnapshot:
    with file.open("rb") as opened:
        # Of the opened file: another may replace it while it is read.
        fingerprint = _fingerprint(os.fstat(opened.fileno()))
        text = opened.read(MAX_FILE_BYTES)
    try:
        key = json.loads(text)["key"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidKeyFileError('is not {"key": "..."}') from error
    if not isinstance(key, str) or not KEY_PATTERN.fullmatch(key):
        raise InvalidKeyFileError("the key is not 16 to 512 printable ASCII characters")
    return KeySnapshot(key, hash_key(key), fingerprint)


def _fingerprint(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@contextmanager
def _translate_write_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except BlockingIOError as error:
        raise Conflict("Another process is regenerating the owner's key.") from error
    except (OSError, InvalidKeyFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unavailable(f"The owner's key cannot be written to its file: {reason}.", reason=str(file)) from error
