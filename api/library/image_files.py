"""The sending of models' pictures: by what their bytes are, and harmless whatever they are."""

import hashlib
import os
from collections.abc import Iterator

from flask import Response, request

from api.http.context import stores
from schemas.errors import Invalid, NotFound
from schemas.images import formats
from schemas.images.inspected_image import MAX_IMAGE_BYTES, UPLOADS_PREFIX, StoredImage
from schemas.library.model_views import ImageView
from stores.library.safe_open import OpenFile, open_within

INSPECTION_TIMEOUT_S = 20.0
CHUNK_BYTES = 256 * 1024
CACHE_MAX_AGE_S = 86_400
# A picture is shown as one, and can do nothing else, should a browser be talked into opening it as a page.
HEADERS = {"Content-Security-Policy": "sandbox; default-src 'none'", "Content-Disposition": "inline"}


def send_image(image: ImageView) -> Response:
    """The picture's own bytes; raises NotFound where they have gone."""
    if image.media_key:
        found = stores().media.open(image.media_key)
        response = Response(found.chunks, mimetype=image.media_type, headers=HEADERS)
        response.content_length = found.size_bytes
        return _cached(response, image.media_key)
    opened = _opened(image)
    form = formats.detect(os.pread(opened.fd, formats.SIGNATURE_BYTES, 0))
    if form is None:
        opened.close()
        raise NotFound("What lies there is no picture that is shown.")
    response = Response(_chunks(opened), mimetype=form.media_type, headers=HEADERS)
    response.content_length = opened.size_bytes
    response.call_on_close(opened.close)
    return _cached(response, f"{image.id}-{opened.size_bytes}-{opened.mtime_ns}")


def send_thumbnail(image: ImageView) -> Response:
    """A small WebP of it, made when it is first asked for."""
    key = image.thumb_key or _made(image)
    return _cached(Response(stores().media.get(key), mimetype="image/webp", headers=HEADERS), key)


def _made(image: ImageView) -> str:
    """The key of the thumbnail of a picture that lies beside its model; raises NotFound where there can be none."""
    with _opened(image) as opened:
        if opened.size_bytes > MAX_IMAGE_BYTES:
            raise NotFound("The picture is too large for a small one to be made of it.")
        stamp = f"{opened.size_bytes}-{opened.mtime_ns}"
        found = _examined(f"{UPLOADS_PREFIX}/{_digest(image, stamp)}", opened)
    # The picture itself stays where it is.
    stores().media.delete(found.key)
    values = {"thumb_key": found.thumb_key, "width": found.width, "height": found.height, "blurhash": found.blurhash}
    stores().library.images.record_thumbnail(image.id, stamp, values)
    return found.thumb_key


def _digest(image: ImageView, stamp: str) -> str:
    """The same for the same bytes: whoever asks again for a picture that is broken has the answer at once."""
    return hashlib.sha256(f"{image.id}-{stamp}".encode()).hexdigest()[:32]


def _examined(upload: str, opened: OpenFile) -> StoredImage:
    """What a courier says of a picture on the disk."""
    with os.fdopen(os.dup(opened.fd), "rb") as file:
        stores().media.put_file(upload, file)
    try:
        found = stores().image_inspections.inspect(upload, INSPECTION_TIMEOUT_S)
    except Invalid as error:
        stores().media.delete(upload)
        raise NotFound(f"What lies there is no picture that is shown: {error.message}") from error
    stores().media.delete(upload)
    return found


def _opened(image: ImageView) -> OpenFile:
    roots = stores().settings.models_dir
    root = next((one for one in roots if str(one) == image.root), None)
    if root is None or image.path is None:
        raise NotFound("The picture's folder is not one of MODELS_DIR any more.")
    return open_within(root, image.path, roots)


def _chunks(opened: OpenFile) -> Iterator[bytes]:
    place = 0
    while chunk := os.pread(opened.fd, CHUNK_BYTES, place):
        yield chunk
        place += len(chunk)


def _cached(response: Response, tag: str) -> Response:
    response.headers["Cache-Control"] = f"private, max-age={CACHE_MAX_AGE_S}"
    response.set_etag(tag)
    response.make_conditional(request)
    return response
