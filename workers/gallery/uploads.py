"""Finishes uploads. No client reports that it has uploaded, so this is run after a while, and when a token is read."""

import structlog

from schemas.errors import NotFound, ServiceError, Unavailable
from schemas.gallery.assets import OPEN_UPLOADS, Upload, UploadState
from schemas.gallery.pictures import SCRATCH_PREFIX, KeepMode
from schemas.gallery.tokens import MediaStatus
from schemas.messages import CHECK_UPLOAD, DRAW_POSTER
from stores import Stores
from workers.gallery.pictures import fetch, keep
from workers.images.convert import make_blank_jpeg
from workers.images.derivatives import detect_format

NOT_UPLOADED, LOST, TOKEN_DELETED = "not_uploaded", "lost", "token_deleted"
DAY_MS = 86_400_000
# Uploads last for minutes; older objects belong to no upload.
SCRATCH_AGE_MS = 3_600_000
OBJECT_AGE_MS = DAY_MS
HISTORY_MS = 7 * DAY_MS
MAX_SWEPT_OBJECTS = MAX_SWEPT_UPLOADS = 1000
BLANK_SIDE_PX = 512

log = structlog.get_logger(__name__)


def check_upload(stores: Stores, nonce: str) -> bool:
    """Give a token its picture if the bytes have arrived; end the upload if they can no longer arrive.

    Idempotent; of several calls at once only one works, and the others return False.
    """
    checks = stores.gallery_media.checks
    with checks.checking(nonce) as is_first:
        if not is_first:
            return False
        try:
            upload = stores.gallery.uploads.find(nonce)
            if upload.state in OPEN_UPLOADS:
                _check(stores, upload)
        except NotFound:
            return True
        except Unavailable as error:
            log.warning("upload.postponed", error=str(error))
            checks.postpone(nonce)
    return True


def sweep_uploads(stores: Stores) -> None:
    """End expired uploads, and delete the objects of ended uploads and of released pictures."""
    for upload in stores.gallery.uploads.list_due(MAX_SWEPT_UPLOADS):
        stores.queue.send(CHECK_UPLOAD, upload.nonce)
    now_ms = stores.clock.now_ms()
    for keys in stores.media.list_older_than(SCRATCH_PREFIX, now_ms - SCRATCH_AGE_MS):
        for key in keys:
            stores.media.delete(key)
    for _ in range(MAX_SWEPT_OBJECTS):
        if not stores.gallery.assets.sweep(now_ms - OBJECT_AGE_MS, stores.media.delete):
            break
    stores.gallery.uploads.forget(now_ms - HISTORY_MS)


def _check(stores: Stores, upload: Upload) -> None:
    try:
        size_bytes = stores.media.size(upload.media_key)
    except NotFound:
        _end_without_bytes(stores, upload)
        return
    if upload.state is UploadState.ISSUED:
        stores.gallery.uploads.receive(upload.nonce, size_bytes)
    try:
        _finish(stores, upload)
    except NotFound:
        _fail(stores, upload, LOST if _has_token(stores, upload) else TOKEN_DELETED)
    except Unavailable:
        raise
    except ServiceError as error:
        _fail(stores, upload, str(error.details.get("reason") or error.code))


def _finish(stores: Stores, upload: Upload) -> None:
    """Attach the picture.

    Raises:
        NotFound: the token or the uploaded object does not exist any more.
    """
    stores.gallery.tokens.find(upload.target_id)
    with fetch(stores, upload.media_key) as file:
        form = detect_format(file)
        poster = _poster(stores, upload) if form and form.is_video else None
        if form and form.is_video and poster is None:
            return
        kept = keep(stores, file, KeepMode.CLEAN, poster)
    stores.gallery.tokens.attach_media(upload.target_id, kept.media, kept.assets)
    stores.gallery.uploads.finish(upload.nonce)
    log.info("upload.finished", token=upload.target_id, type=kept.media.type, size_bytes=kept.media.size_bytes)
    _clear(stores, upload)


def _has_token(stores: Stores, upload: Upload) -> bool:
    try:
        stores.gallery.tokens.find(upload.target_id)
    except NotFound:
        return False
    return True


def _poster(stores: Stores, upload: Upload) -> bytes | None:
    """Return the poster of a video, or None after asking a browser for it; a grey one if no browser has answered."""
    try:
        return stores.media.get(poster_key(upload.media_key))
    except NotFound:
        if upload.expires_at <= stores.clock.now_ms():
            return make_blank_jpeg(BLANK_SIDE_PX, BLANK_SIDE_PX)
        # A token is read many times while the browsers are busy.
        if stores.gallery_media.checks.may_request_poster(upload.nonce):
            stores.queue.send(DRAW_POSTER, upload.media_key, upload.nonce)
        return None


def poster_key(media_key: str) -> str:
    """Return where the poster of an uploaded video is until it is kept."""
    return f"{media_key}-poster"


def _end_without_bytes(stores: Stores, upload: Upload) -> None:
    if upload.state is UploadState.RECEIVED:
        _fail(stores, upload, LOST)
    elif stores.gallery.uploads.expire(upload.nonce):
        log.info("upload.expired", token=upload.target_id)
        _clear(stores, upload)
        _set_status(stores, upload, MediaStatus.NONE, NOT_UPLOADED)


def _fail(stores: Stores, upload: Upload, reason: str) -> None:
    log.info("upload.refused", token=upload.target_id, reason=reason)
    stores.gallery.uploads.fail(upload.nonce, reason)
    _clear(stores, upload)
    _set_status(stores, upload, MediaStatus.FAILED, reason)


def _set_status(stores: Stores, upload: Upload, status: MediaStatus, reason: str) -> None:
    """Tell readers of the token what became of the upload, unless it has a picture or another upload is open."""
    if not stores.gallery.uploads.list_open(upload.target_id):
        stores.gallery.tokens.set_media_status(upload.target_id, {MediaStatus.PENDING}, status, reason)


def _clear(stores: Stores, upload: Upload) -> None:
    """Delete the uploaded bytes; if the storage is unavailable, the sweep deletes them later."""
    stores.gallery_media.checks.cancel(upload.nonce)
    try:
        stores.media.delete(upload.media_key)
        stores.media.delete(poster_key(upload.media_key))
    except Unavailable as error:
        log.warning("upload.not_deleted", error=str(error))
