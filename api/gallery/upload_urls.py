"""Uploads of tokens' pictures: URLs to which a client puts the bytes, and the bytes that come to this process."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import structlog
from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from api.http.context import stores
from api.http.request_bodies import body_errors
from ops.infra.settings import UNLIMITED
from schemas.errors import Conflict, Forbidden, Gone, Invalid, Unavailable
from schemas.gallery.assets import Upload, UploadState, UploadTarget
from schemas.gallery.pictures import MAX_UPLOAD_BYTES, make_scratch_key
from schemas.gallery.tokens import MediaStatus, Token
from schemas.messages import CHECK_UPLOAD
from stores.gallery.uploads import UploadLimits

URL_LIFETIME_S = 600
# An upload that begins in time may take a while.
UPLOAD_LIFETIME_MS = 2 * URL_LIFETIME_S * 1000
PUT_PATH = "/v1/upload/put"
CHUNK_BYTES = 256 * 1024
MAX_OPEN_UPLOADS = 2**31
RETRY_AFTER_S = 30
NOT_RECEIVED = (UploadState.ISSUED, UploadState.EXPIRED)

log = structlog.get_logger(__name__)


def require_capacity(caller_id: str) -> None:
    """Raise LimitReached if the caller has too many uploads that have not ended for another one."""
    stores().gallery.uploads.require_capacity(caller_id, MAX_UPLOAD_BYTES, _limits())


def issue_url(caller_id: str, token_id: str) -> str:
    """Return a URL that takes the picture of a token once, for ten minutes, by PUT and without a key.

    Raises:
        NotFound: there is no such token.
        Forbidden: it is another caller's.
        LimitReached: the caller has too many uploads that have not ended.
    """
    token = stores().gallery.tokens.find(token_id)
    if token.owner != caller_id:
        raise Forbidden("The token belongs to another caller, so only that one can upload its picture.")
    media_key = make_scratch_key()
    signed = stores().media.sign_upload(media_key, URL_LIFETIME_S)
    upload = stores().gallery.uploads.issue(
        caller_id,
        UploadTarget.TOKEN,
        token.token_id,
        media_key=media_key,
        max_bytes=MAX_UPLOAD_BYTES,
        lifetime_ms=UPLOAD_LIFETIME_MS,
        limits=_limits(),
    )
    stores().gallery_media.checks.schedule(upload.nonce)
    is_without_picture = {MediaStatus.NONE, MediaStatus.FAILED}
    stores().gallery.tokens.set_media_status(token.token_id, is_without_picture, MediaStatus.PENDING)
    # Clients send no header that they were not told of, so where one is needed the bytes pass this process.
    return signed.url if signed and not signed.headers else _own_url(upload)


def receive(nonce: str) -> None:
    """Store the body of this request as the upload of a URL that ``issue_url`` returned.

    Raises:
        Forbidden, Gone: the URL is not valid, or has expired.
        NotFound: the upload has ended a long time ago.
        Conflict: the URL has been used, or is being used now.
        RequestEntityTooLarge, Invalid, BodyTooSlow: the body is too large, empty, torn or too slow.
        Unavailable: the media store does not answer; the URL can be used again.
    """
    parts = stores().gallery_media
    parts.urls.verify(nonce, request.args.get("expires", ""), request.args.get("signature", ""))
    with parts.checks.receiving(nonce) as is_first:
        upload = stores().gallery.uploads.find(nonce)
        if upload.state is not UploadState.ISSUED or not is_first:
            raise Conflict("This upload URL has been used; request a new one.")
        with _received_body(upload.max_bytes) as (file, size_bytes):
            stores().media.put_file(upload.media_key, file)
        uploads = stores().gallery.uploads
        # A check that sees the bytes first has recorded their arrival, and may have examined them by now.
        if not uploads.receive(nonce, size_bytes) and uploads.find(nonce).state in NOT_RECEIVED:
            stores().media.delete(upload.media_key)
            raise Gone("The upload URL expired before the picture had arrived; request a new one.")
    _request_check(nonce)


def check_on_read(token: Token) -> None:
    """Have the uploads of a token looked at that a reader finds without its picture, unless that was just done."""
    if token.media.status is not MediaStatus.PENDING:
        return
    for upload in stores().gallery.uploads.list_open(token.token_id):
        if stores().gallery_media.checks.may_check_on_read(upload.nonce):
            _request_check(upload.nonce)


def _request_check(nonce: str) -> None:
    try:
        stores().queue.send(CHECK_UPLOAD, nonce)
    except Unavailable as error:
        # The checks that are planned anyway find the bytes.
        log.warning("upload.check_not_requested", error=str(error))


def _limits() -> UploadLimits:
    limit = stores().settings.limit_open_uploads
    max_open = MAX_OPEN_UPLOADS if limit == UNLIMITED else limit
    return UploadLimits(max_open, max_open * MAX_UPLOAD_BYTES)


def _own_url(upload: Upload) -> str:
    query = stores().gallery_media.urls.sign(upload.nonce, upload.created_at + URL_LIFETIME_S * 1000)
    return f"{stores().settings.public_url}{PUT_PATH}/{upload.nonce}?{query}"


@contextmanager
def _received_body(max_bytes: int) -> Iterator[tuple[IO[bytes], int]]:
    """Write the body to a temporary file, chunk by chunk, and count it."""
    request.max_content_length = max_bytes
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    with tempfile.TemporaryFile(dir=stores().settings.data_dir) as file:
        size_bytes = 0
        while chunk := _read_chunk(max_bytes):
            size_bytes += len(chunk)
            if size_bytes > max_bytes:
                raise _too_large(max_bytes)
            _write(file, chunk)
        if size_bytes < (request.content_length or 0):
            # The client has stopped; some servers report that as the end of the body.
            raise Invalid(problems=["The body ended early; the URL can be used again."])
        if not size_bytes:
            raise Invalid(problems=["The body is empty: send the bytes of a picture."])
        file.flush()
        yield file, size_bytes


def _read_chunk(max_bytes: int) -> bytes:
    try:
        with body_errors():
            return request.stream.read(CHUNK_BYTES)
    except RequestEntityTooLarge as error:
        raise _too_large(max_bytes) from error


def _write(file: IO[bytes], chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        log.warning("upload.not_written", error=str(error))
        raise Unavailable("The disk for uploads is full or broken.", retry_after_s=RETRY_AFTER_S) from error


def _too_large(max_bytes: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"The picture is larger than {max_bytes // (1024 * 1024)} MiB.")
