"""The examination of pictures: of uploads, which are kept if they pass, and of those beside a model's file."""

import hashlib
import os
import tempfile
from dataclasses import asdict

import structlog

from schemas.errors import Invalid, ServiceError
from schemas.images import formats
from schemas.images.inspected_image import LIBRARY_PREFIX, MAX_IMAGE_BYTES, StoredImage
from stores import Stores
from workers.images.decode import DecodeLimits
from workers.images.sandbox import DEFAULT_LIMITS, InspectionResult, inspect_in_sandbox

NAME_LENGTH = 32

log = structlog.get_logger(__name__)


def inspect_upload(stores: Stores, key: str, limits: DecodeLimits = DEFAULT_LIMITS) -> None:
    """Look at the upload under ``key``, keep it if it is a picture that is taken, answer who asked.

    Run again after a death in its midst it ends in the same state: what is kept has its name from the upload's.
    """
    if stores.image_inspections.is_requested(key):
        try:
            found: StoredImage | ServiceError = _inspect_and_store(stores, key, limits)
        except ServiceError as error:
            log.info("upload.refused", key=key, code=error.code, reason=error.details.get("reason"))
            found = error
        stores.image_inspections.answer(key, found)
        if isinstance(found, ServiceError) and found.retryable:
            return
    stores.media.delete(key)


def thumbnail_of(picture: int | bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> InspectionResult:
    """The same look at a picture that is not kept here: its bytes, or the descriptor of a file that was opened safely.

    The descriptor stays open, and where it stands in the file changes. Nothing is cached.

    Raises:
        Invalid: it is not a picture that is taken; ``details["reason"]`` says why in a word.
    """
    if isinstance(picture, int):
        with os.fdopen(os.dup(picture), "rb") as file:
            return inspect_in_sandbox(file, limits)
    with tempfile.TemporaryFile() as file:
        file.write(picture)
        file.flush()
        return inspect_in_sandbox(file, limits)


def _inspect_and_store(stores: Stores, key: str, limits: DecodeLimits) -> StoredImage:
    with tempfile.TemporaryFile() as file:
        if stores.media.copy_to(key, file) > MAX_IMAGE_BYTES:
            raise Invalid(f"The picture has more than {MAX_IMAGE_BYTES:,} bytes.", reason="too_large")
        look = inspect_in_sandbox(file, limits)
        name = hashlib.sha256(key.encode()).hexdigest()[:NAME_LENGTH]
        extension = formats.BY_MEDIA_TYPE[look.image.type].extension
        kept, thumb = f"{LIBRARY_PREFIX}/{name}.{extension}", f"{LIBRARY_PREFIX}/{name}-thumb.webp"
        file.truncate(look.image.size_bytes)
        stores.media.put(thumb, look.thumbnail)
        stores.media.put_file(kept, file)
        return StoredImage(**asdict(look.image), key=kept, thumb_key=thumb)
