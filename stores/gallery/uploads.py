"""Uploads: signed URLs that were handed out, each for one use, and what became of them."""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from ops.infra.clock import Clock
from schemas.errors import LimitReached, NotFound
from schemas.gallery.assets import OPEN_UPLOADS, Upload, UploadState, UploadTarget
from stores.gallery.profiles import Profiles
from stores.gallery.rows import GALLERY_LOCK_ID
from stores.gallery.tables import uploads
from stores.sql.database import Database

UPLOAD_NOT_FOUND = "Upload not found"
NONCE_BYTES = 24
_FIELDS = tuple(Upload.__dataclass_fields__)
_IS_OPEN = uploads.c.state.in_(OPEN_UPLOADS)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What each caller may have open at once. An upload without a known size counts with ``max_bytes``."""

    max_open: int
    max_open_bytes: int


class Uploads:
    """The uploads in one database."""

    def __init__(self, database: Database, clock: Clock, profiles: Profiles) -> None:
        self._database = database
        self._clock = clock
        self._profiles = profiles

    def issue(
        self,
        owner: str,
        target: UploadTarget,
        target_id: str,
        *,
        media_key: str,
        max_bytes: int,
        lifetime_ms: int,
        limits: UploadLimits,
    ) -> Upload:
        """Record a new URL.

        Raises:
            LimitReached: the caller has too many open uploads, or too many bytes in them.
        """
        self._profiles.get_or_create(owner)
        now_ms = self._clock.now_ms()
        upload = Upload(
            nonce=secrets.token_urlsafe(NONCE_BYTES),
            owner=owner,
            target=target,
            target_id=target_id,
            media_key=media_key,
            max_bytes=max_bytes,
            size_bytes=None,
            state=UploadState.ISSUED,
            reason=None,
            created_at=now_ms,
            expires_at=now_ms + lifetime_ms,
            changed_at=now_ms,
        )
        with self._database.write_exclusively(GALLERY_LOCK_ID) as connection:
            _require_capacity(connection, owner, max_bytes, limits, now_ms)
            connection.execute(insert(uploads), {field: getattr(upload, field) for field in _FIELDS})
        return upload

    def require_capacity(self, owner: str, max_bytes: int, limits: UploadLimits) -> None:
        """Raise LimitReached where ``issue`` would."""
        with self._database.read() as connection:
            _require_capacity(connection, owner, max_bytes, limits, self._clock.now_ms())

    def find(self, nonce: str) -> Upload:
        """Return an upload; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(uploads).where(uploads.c.nonce == nonce)).one_or_none()
        if row is None:
            raise NotFound(UPLOAD_NOT_FOUND)
        return upload_from_row(row)

    def receive(self, nonce: str, size_bytes: int) -> bool:
        """Record that the bytes have arrived. False: they had arrived before, or the URL has expired."""
        in_time = (uploads.c.state == UploadState.ISSUED) & (uploads.c.expires_at > self._clock.now_ms())
        return self._move(nonce, in_time, UploadState.RECEIVED, size_bytes=size_bytes)

    def finish(self, nonce: str) -> bool:
        """Record that the picture is in its place. False: the upload had ended before."""
        return self._move(nonce, _IS_OPEN, UploadState.FINISHED)

    def fail(self, nonce: str, reason: str) -> bool:
        """Record that the bytes were refused. False: the upload had ended before."""
        return self._move(nonce, _IS_OPEN, UploadState.FAILED, reason=reason)

    def expire(self, nonce: str) -> bool:
        """Record that no bytes arrived in time. False: they did, or the URL is still valid."""
        late = (uploads.c.state == UploadState.ISSUED) & (uploads.c.expires_at <= self._clock.now_ms())
        return self._move(nonce, late, UploadState.EXPIRED)

    def list_open(self, target_id: str) -> list[Upload]:
        """Return the open uploads for a target, the oldest first."""
        return self._list((uploads.c.target_id == target_id) & _IS_OPEN, None)

    def list_due(self, limit: int = 100) -> list[Upload]:
        """Return open uploads whose URL has expired, the longest expired first."""
        return self._list(_IS_OPEN & (uploads.c.expires_at <= self._clock.now_ms()), limit)

    def forget(self, before_ms: int) -> int:
        """Delete the rows of uploads that ended before ``before_ms``; return their number."""
        old = ~_IS_OPEN & (uploads.c.changed_at < before_ms)
        with self._database.write() as connection:
            return connection.execute(delete(uploads).where(old)).rowcount

    def _list(self, condition: Any, limit: int | None) -> list[Upload]:
        query = select(uploads).where(condition).order_by(uploads.c.expires_at, uploads.c.nonce).limit(limit)
        with self._database.read() as connection:
            return list(map(upload_from_row, connection.execute(query)))

    def _move(self, nonce: str, condition: Any, state: UploadState, **values: Any) -> bool:
        statement = update(uploads).where(uploads.c.nonce == nonce, condition)
        values |= {"state": state, "changed_at": self._clock.now_ms()}
        with self._database.write() as connection:
            return connection.execute(statement.values(**values)).rowcount == 1


def _require_capacity(connection: Connection, owner: str, max_bytes: int, limits: UploadLimits, now_ms: int) -> None:
    size = func.coalesce(uploads.c.size_bytes, uploads.c.max_bytes)
    query = select(func.count(), func.coalesce(func.sum(size), 0), func.min(uploads.c.expires_at))
    count, used, first = connection.execute(query.where(uploads.c.owner == owner, _IS_OPEN)).one()
    if count >= limits.max_open or int(used) + max_bytes > limits.max_open_bytes:
        wait_s = max(1, -(-(first - now_ms) // 1000)) if count else 1
        message = f"{count} uploads of {int(used)} bytes are open, and each ends after some minutes."
        raise LimitReached(message, retry_after_s=wait_s)


def upload_from_row(row: Any) -> Upload:
    """Convert from a row of ``gallery_uploads``."""
    values = {field: getattr(row, field) for field in _FIELDS}
    return Upload(**values | {"target": UploadTarget(row.target), "state": UploadState(row.state)})
