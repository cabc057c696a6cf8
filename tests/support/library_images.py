"""Uploads of images of models, and what the media store holds."""

from typing import Any

import httpx

from schemas.images.inspected_image import LIBRARY_PREFIX, UPLOADS_PREFIX
from tests.support.images import VALID_IMAGES
from tests.support.library import LibraryApp

PNG = VALID_IMAGES["png"][0]


def upload(library: LibraryApp, model_id: int, data: bytes = PNG, **fields: str) -> Any:
    """Upload an image as a client does that declares every image as PNG."""
    form = httpx.Request("POST", "http://x", data=fields, files={"file": ("picture.png", data, "image/png")})
    return library.request("POST", f"/{model_id}/images", data=form.read(), content_type=form.headers["Content-Type"])


def upload_ok(library: LibraryApp, model_id: int, data: bytes = PNG, **fields: str) -> Any:
    """Return the JSON of a successful upload."""
    response = upload(library, model_id, data, **fields)
    assert response.status_code == 201, response.get_data(as_text=True)
    return response.json


def media_objects(library: LibraryApp) -> set[str]:
    """Return the keys of all objects in the media store."""
    media = library.stores.media
    return {
        key
        for prefix in (UPLOADS_PREFIX, LIBRARY_PREFIX)
        for keys in media.list_older_than(prefix, 2**52)
        for key in keys
    }
