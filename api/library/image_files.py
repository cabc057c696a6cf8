"""Responses with images of models and their thumbnails.

Files beside models are untrusted: the media type comes from their bytes, and the headers keep a browser from running
anything in them.
"""

import hashlib
import os
from collections.abc import Iterator

from flask import Response, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from api.http.context import stores
from schemas.errors import Invalid, NotFound
from schemas.images import formats
from schemas.images.inspected_image import MAX_IMAGE_BYTES, UPLOADS_PREFIX, StoredImage
from schemas.library.model_views import ImageView, is_video
from stores.library.safe_open import OpenFile, open_indexed

INSPECTION_TIMEOUT_S = 20.0
CHUNK_BYTES = 256 * 1024
CACHE_MAX_AGE_S = 86_400
HEADERS = {"Content-Security-Policy": "sandbox; default-src 'none'", "Content-Disposition": "inline"}


def send_image(image: ImageView) -> Response:
    """Return a response with the original bytes; raises NotFound if they are missing or have an unsupported type."""
    if image.media_key:
        media = stores().media.open(image.media_key)
        response = Response(media.chunks, mimetype=image.media_type, headers=HEADERS)
        response.content_length = media.size_bytes
        return _make_cacheable(response, image.media_key)
    opened = _open_preview(image)
    image_format = formats.detect(os.pread(opened.fd, formats.SIGNATURE_BYTES, 0), formats.DELIVERED)
    if image_format is None:
        opened.close()
        raise NotFound("Unsupported image type.")
    response = Response(_read_chunks(opened), mimetype=image_format.media_type, headers=HEADERS)
    response.content_length = opened.size_bytes
    response.call_on_close(opened.close)
    # Players ask for parts of a video.
    parts = opened.size_bytes if image_format.is_video else None
    return _make_cacheable(response, f"{image.id}-{opened.size_bytes}-{opened.mtime_ns}", parts)


def send_thumbnail(image: ImageView) -> Response:
    """Return a response with a WebP thumbnail, made on the first request; raises NotFound if there can be none."""
    data, key = read_thumbnail(image)
    return _make_cacheable(Response(data, mimetype="image/webp", headers=HEADERS), key)


def read_thumbnail(image: ImageView) -> tuple[bytes, str]:
    """Return a WebP thumbnail, made if there is none, and the key that names these bytes; raises NotFound."""
    key = image.thumb_key or _create_thumbnail(image)
    return stores().media.get(key), key


def _create_thumbnail(image: ImageView) -> str:
    """Make the thumbnail of a preview image and return its key."""
    if is_video(image.path):
        raise NotFound("A video has no thumbnail; request it without /thumb.")
    with _open_preview(image) as opened:
        if opened.size_bytes > MAX_IMAGE_BYTES:
            raise NotFound("The image is too large for a thumbnail.")
        stamp = f"{opened.size_bytes}-{opened.mtime_ns}"
        # Named by the bytes, so that the stored result of a broken image answers repeated requests.
        digest = hashlib.sha256(f"{image.id}-{stamp}".encode()).hexdigest()[:32]
        stored = _inspect(f"{UPLOADS_PREFIX}/{digest}", opened)
    # The inspection also stored a copy of the image, which is on disk already.
    stores().media.delete(stored.key)
    columns = {
        "thumb_key": stored.thumb_key,
        "width": stored.width,
        "height": stored.height,
        "blurhash": stored.blurhash,
    }
    stores().library.images.record_thumbnail(image.id, stamp, columns)
    return stored.thumb_key


def _inspect(upload_key: str, opened: OpenFile) -> StoredImage:
    with os.fdopen(os.dup(opened.fd), "rb") as file:
        stores().media.put_file(upload_key, file)
    try:
        stored = stores().image_inspections.inspect(upload_key, INSPECTION_TIMEOUT_S)
    except Invalid as error:
        stores().media.delete(upload_key)
        raise NotFound(f"Unsupported image: {error.message}") from error
    stores().media.delete(upload_key)
    return stored


def _open_preview(image: ImageView) -> OpenFile:
    return open_indexed(image.root, image.path, stores().settings.models_dir)


def _read_chunks(opened: OpenFile) -> Iterator[bytes]:
    offset = 0
    while chunk := os.pread(opened.fd, CHUNK_BYTES, offset):
        yield chunk
        offset += len(chunk)


def _make_cacheable(response: Response, tag: str, size_bytes: int | None = None) -> Response:
    """Answer conditional requests, and with ``size_bytes`` requests for a part."""
    response.headers["Cache-Control"] = f"private, max-age={CACHE_MAX_AGE_S}"
    response.set_etag(tag)
    try:
        response.make_conditional(request, accept_ranges=size_bytes is not None, complete_length=size_bytes)
    except RequestedRangeNotSatisfiable:
        response.close()
        raise
    return response
