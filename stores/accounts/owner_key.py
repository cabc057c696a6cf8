"""The owner's key: the one that API_KEY sets, or the one in a file that only the owner can read.

Another key in the file is believed within a second.
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

from ops.infra.secret_file import exclusive_lock, read_or_create, replace
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
    """The key file holds no key."""


@dataclass(frozen=True, slots=True)
class KeySnapshot:
    """A key, its hash, and by what one tells that its file has changed: device, inode, size, times in ns."""

    key: str = field(repr=False)
    key_hash: str = field(repr=False)
    fingerprint: tuple[int, ...] = ()


class OwnerKey:
    """The owner's key as it is now. Safe to share between threads."""

    def __init__(
        self, data_dir: Path, configured: str | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``configured`` wins over the file in ``data_dir``; ``tick`` counts seconds, as long as a look is believed."""
        self._file = data_dir / KEY_FILE
        self._lock_file = data_dir / LOCK_FILE
        self.is_configured = bool(configured)
        self._tick = monotonic
        self._snapshot = KeySnapshot(configured, hash_key(configured)) if configured else None
        self._believed_until = math.inf if configured else -math.inf
        self._troubled = False
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The key of an installation."""
        return cls(settings.data_dir, settings.api_key)

    def read(self) -> str:
        """The key; it is made if there was none.

        Raises:
            SettingsError: the first look finds a file that cannot be read, or holds no key.
        """
        return self._present().key

    def read_hash(self) -> str:
        """The key's hash; raises as ``read`` does."""
        return self._present().key_hash

    def refresh(self) -> None:
        """Look at the file now, however lately it was looked at; raises as ``read`` does."""
        self._present()
        if not self.is_configured:
            with self._lock:
                self._look_again()

    def regenerate(self, current_key: str | None = None) -> str:
        """A new key of 64 hex digits in place of the present one, which is over here at once and elsewhere in a second.

        ``held`` is the key of whoever asks, so that of two who ask at once only one is answered with a key.

        Raises:
            Conflict: API_KEY sets the key, or somebody else regenerates it at this moment.
            Unauthorized: ``held`` is no longer the key.
            Unavailable: the file cannot be written.
        """
        if self.is_configured:
            raise Conflict(
                "The owner's key is the one in API_KEY and cannot be regenerated: "
                "change API_KEY and start every process anew."
            )
        key = secrets.token_hex(KEY_BYTES)
        with self._lock, _writing(), exclusive_lock(self._lock_file):
            if current_key is not None and not hmac.compare_digest(hash_key(current_key), self._newest()):
                raise Unauthorized
            replace(self._file, json.dumps({"key": key}))
            self._believe(_read(self._file))
        return key

    def _newest(self) -> str:
        """The hash of the key in the file; of the one believed where the file has none."""
        try:
            return _read(self._file).key_hash
        except (OSError, InvalidKeyFileError):
            return self._snapshot.key_hash if self._snapshot else ""

    def _present(self) -> KeySnapshot:
        known = self._snapshot
        if known is not None and self._tick() < self._believed_until:
            return known
        with self._lock:
            if self._tick() >= self._believed_until:
                self._look_again()
            return self._snapshot or self._believe(self._first())

    def _first(self) -> KeySnapshot:
        try:
            if not self._file.exists():
                read_or_create(self._file, lambda: json.dumps({"key": secrets.token_hex(KEY_BYTES)}))
            return _read(self._file)
        except OSError as error:
            raise SettingsError(f"{self._file}: cannot be read: {error.strerror}.") from error
        except InvalidKeyFileError as error:
            hint = "put the key back, or make a new one with './darkroom api-key regenerate'"
            raise SettingsError(f"{self._file}: {error}; {hint}.") from error

    def _look_again(self) -> None:
        """Take what the file says now. Where it says nothing the key stays: who lost a disk is not locked out too."""
        known = self._snapshot
        if known is None:
            return
        try:
            changed = _stamp(self._file.stat()) != known.fingerprint
            self._believe(_read(self._file) if changed else known)
        except (OSError, InvalidKeyFileError) as error:
            self._believed_until = self._tick() + RECHECK_INTERVAL_S
            if not self._troubled:
                log.warning("owner_key.unreadable", file=str(self._file), error=str(error))
            self._troubled = True

    def _believe(self, known: KeySnapshot) -> KeySnapshot:
        self._snapshot = known
        self._believed_until = self._tick() + RECHECK_INTERVAL_S
        self._troubled = False
        return known


def hash_key(key: str) -> str:
    """What is kept and compared in place of a key: 256 random bits, so a plain hash cannot be searched backwards."""
    return hashlib.sha256(key.encode()).hexdigest()


def _read(file: Path) -> KeySnapshot:
    with file.open("rb") as opened:
        # Of the very file that is read, whatever takes its place meanwhile.
        stamp = _stamp(os.fstat(opened.fileno()))
        text = opened.read(MAX_FILE_BYTES)
    try:
        key = json.loads(text)["key"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidKeyFileError('is not {"key": "…"}') from error
    if not isinstance(key, str) or not KEY_PATTERN.fullmatch(key):
        raise InvalidKeyFileError("its key is not 16 to 512 printable ASCII characters")
    return KeySnapshot(key, hash_key(key), stamp)


def _stamp(about: os.stat_result) -> tuple[int, ...]:
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BlockingIOError as error:
        raise Conflict("Somebody else regenerates the owner's key at this moment.") from error
    except (OSError, InvalidKeyFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unavailable(f"The owner's key cannot be written to its file: {reason}.") from error
