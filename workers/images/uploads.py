"""Inspection of uploaded images: accepted ones move from the uploads to the library, with a thumbnail."""

import hashlib
import tempfile
from dataclasses import asdict

import structlog

from schemas.errors import Invalid, ServiceError
from schemas.images import formats
from schemas.images.inspected_image import LIBRARY_PREFIX, MAX_IMAGE_BYTES, StoredImage
from stores import Stores
from workers.images.decode import DecodeLimits
from workers.images.sandbox import DEFAULT_LIMITS, inspect_in_sandbox

NAME_LENGTH = 32

log = structlog.get_logger(__name__)


def inspect_upload(stores: Stores, key: str, kind: str = "", limits: DecodeLimits = DEFAULT_LIMITS) -> None:
    """Inspect the upload under ``key``, store it if it is accepted, and report the result to the waiting request.

    An upload of the kind ``ALPHA_MASK`` is stored as a mask in black and white.

    Idempotent: the name of the stored image is derived from the upload's key, so running it again after a crash gives
    the same state. An upload that no request waits for is deleted.
    """
    if stores.image_inspections.is_requested(key):
        try:
            result: StoredImage | ServiceError = _inspect_and_store(stores, key, kind, limits)
        except ServiceError as error:
            log.info("upload.refused", key=key, code=error.code, reason=error.details.get("reason"))
            result = error
        stores.image_inspections.answer(key, result)
        if isinstance(result, ServiceError) and result.retryable:
            # The upload stays for the next attempt.
            return
    stores.media.delete(key)


def _inspect_and_store(stores: Stores, key: str, kind: str, limits: DecodeLimits) -> StoredImage:
    with tempfile.TemporaryFile() as file:
        if stores.media.copy_to(key, file) > MAX_IMAGE_BYTES:
            raise Invalid(f"The picture has more than {MAX_IMAGE_BYTES:,} bytes.", reason="too_large")
        result = inspect_in_sandbox(file, limits, kind)
        name = hashlib.sha256(key.encode()).hexdigest()[:NAME_LENGTH]
        extension = formats.BY_MEDIA_TYPE[result.image.type].extension
        image_key, thumb_key = f"{LIBRARY_PREFIX}/{name}.{extension}", f"{LIBRARY_PREFIX}/{name}-thumb.webp"
        # Drops whatever follows the image, such as an appended archive.
        file.truncate(result.image.size_bytes)
        stores.media.put(thumb_key, result.thumbnail)
        if result.mask is None:
            stores.media.put_file(image_key, file)
        else:
            stores.media.put(image_key, result.mask)
        return StoredImage(**asdict(result.image), key=image_key, thumb_key=thumb_key)
