"""Permanent objects: bytes under a key, on disk or in a cloud's store.

Keys are words that Darkroom itself has made: nothing that a
client says becomes part of one.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TypeVar

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from ops.infra.blocking import run_blocking
from ops.infra.settings import SettingsError
from schemas.errors import NotFound, Unavailable

KEY_PATTERN = re.compile(r"[a-z]{1,20}(/[a-z0-9][a-z0-9_-]{0,99}){1,3}(\.[a-z0-9]{1,8})?", re.ASCII)
CHUNK_BYTES = 256 * 1024
RETRY_AFTER_S = 5
# Somebody waits for most of what is asked here; obstore's own patience is minutes.
RETRY_CONFIG = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
# These take the place of what the environment says of them; plain HTTP is spoken only to an endpoint that names it.
CLIENT_OPTIONS = {"connect_timeout": "3s", "timeout": "60s", "allow_http": True}
# What the store on disk calls an object that is still being written.
PARTIAL_NAME = re.compile(r".+#\d+")

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenObject:
    """An object that is being read: its size, when it was put (ms since 1970), and its bytes, piece by piece."""

    size_bytes: int
    stored_at_ms: int
    chunks: Iterator[bytes] = field(repr=False)


class Media:
    """The objects of one ``MEDIA_URL``. Every method may raise Unavailable: the store does not serve."""

    def __init__(self, url: str) -> None:
        """Makes the folder if it is one; a cloud is not asked yet.

        Raises:
            SettingsError: the address leads nowhere.
        """
        options = (
            {"mkdir": True}
            if url.startswith("file:")
            else {"client_options": CLIENT_OPTIONS, "retry_config": RETRY_CONFIG}
        )
        try:
            self._store = from_url(url, **options)
        except (BaseError, OSError, ValueError) as error:
            raise SettingsError(f"MEDIA_URL: {_first_line(error)}.") from error
        self._folder = self._store.prefix if isinstance(self._store, LocalStore) else None

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data``; whoever reads meanwhile sees all of it or nothing.

        Raises:
            ValueError: ``key`` is not one of ours.
        """
        self._put(key, data)

    def put_file(self, key: str, file: IO[bytes]) -> None:
        """Keep what is in ``file``, from its beginning, without holding it in memory; raises as ``put``."""
        file.seek(0)
        self._put(key, file)

    def get(self, key: str) -> bytes:
        """The whole object.

        Raises:
            NotFound: there is none.
        """
        _require_valid_key(key)
        return _call_store(lambda: bytes(obstore.get(self._store, key).bytes()))

    def copy_to(self, key: str, file: IO[bytes]) -> int:
        """Write the object to ``file``, piece by piece; how many bytes it has. Raises as ``get``."""
        opened = self.open(key)
        for chunk in opened.chunks:
            file.write(chunk)
        file.flush()
        return opened.size_bytes

    def open(self, key: str) -> OpenObject:
        """The object, to be read piece by piece; raises as ``get``, and Unavailable also between pieces."""
        _require_valid_key(key)
        result = _call_store(lambda: obstore.get(self._store, key))
        about = result.meta
        return OpenObject(about["size"], _to_ms(about["last_modified"]), _stream_chunks(result))

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            _require_valid_key(key)
            _call_store(lambda: obstore.head(self._store, key))
        except NotFound:
            return False
        return True

    def delete(self, key: str) -> None:
        """See that there is no such object."""
        try:
            _require_valid_key(key)
            _call_store(lambda: obstore.delete(self._store, key))
        except NotFound:
            return

    def list_older_than(self, prefix: str, before_ms: int) -> Iterator[list[str]]:
        """The keys below the folder ``prefix`` of what was put before a time, many at once, in no order."""
        batches = _call_store(lambda: obstore.list(self._store, prefix))
        while batch := _call_store(lambda: next(batches, None)):
            yield [one["path"] for one in batch if _to_ms(one["last_modified"]) < before_ms]

    def delete_partial_uploads(self, before_ms: int) -> int:
        """Delete what processes that died left half written before a time; how much it was.

        On disk only: a cloud's store does that itself, by a rule for uploads that were never completed.
        """
        torn = [path for path in self._folder.rglob("*#*") if PARTIAL_NAME.fullmatch(path.name)] if self._folder else []
        old = [path for path in torn if path.is_file() and path.stat().st_mtime * 1000 < before_ms]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _put(self, key: str, content: bytes | IO[bytes]) -> None:
        if not KEY_PATTERN.fullmatch(key):
            raise ValueError(f"{key!r} is no key")

        def put() -> None:
            obstore.put(self._store, key, content)
            if self._folder:
                _fsync(self._folder / key)

        _call_store(put)


def _call_store(call: Callable[[], T]) -> T:
    with _media_errors():
        return run_blocking(call)


@contextmanager
def _media_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("There is no such object.") from error
    except (BaseError, OSError) as error:
        # It may name folders, addresses and accounts: that is for the log alone.
        log.warning("media.unavailable", error=_first_line(error))
        raise Unavailable("The media store does not serve now.", retry_after_s=RETRY_AFTER_S) from error


def _stream_chunks(result: "obstore.GetResult") -> Iterator[bytes]:
    stream = iter(result.stream(min_chunk_size=CHUNK_BYTES))
    while (chunk := _call_store(lambda: next(stream, None))) is not None:
        yield bytes(chunk)


def _require_valid_key(key: str) -> None:
    if not KEY_PATTERN.fullmatch(key):
        raise NotFound("There is no such object.")


def _fsync(path: Path) -> None:
    """See that the object outlasts a power cut: its bytes, and its name in the folder."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _to_ms(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1000)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
