"""The examination of pictures: of uploads, which are kept if they pass, and of those beside a model's file."""

import hashlib
import os
import tempfile
from dataclasses import asdict

import structlog

from schemas.errors import Invalid, ServiceError
from schemas.images.inspected_image import ENDINGS, KEPT, MOST_BYTES, Examined
from stores import Stores
from workers.images.decode import Limits
from workers.images.sandbox import LIMITS, Look, look_at

NAME_CHARACTERS = 32

log = structlog.get_logger(__name__)


def examine(stores: Stores, key: str, limits: Limits = LIMITS) -> None:
    """Look at the upload under ``key``, keep it if it is a picture that is taken, answer who asked.

    Run again after a death in its midst it ends in the same state: what is kept has its name from the upload's.
    """
    if stores.examinations.wanted(key):
        try:
            found: Examined | ServiceError = _examined(stores, key, limits)
        except ServiceError as error:
            log.info("upload.refused", key=key, code=error.code, reason=error.details.get("reason"))
            found = error
        stores.examinations.answer(key, found)
        if isinstance(found, ServiceError) and found.retryable:
            return
    stores.media.delete(key)


def thumbnail_of(picture: int | bytes, limits: Limits = LIMITS) -> Look:
    """The same look at a picture that is not kept here: its bytes, or the descriptor of a file that was opened safely.

    The descriptor stays open, and where it stands in the file changes. Nothing is cached.

    Raises:
        Invalid: it is not a picture that is taken; ``details["reason"]`` says why in a word.
    """
    if isinstance(picture, int):
        with os.fdopen(os.dup(picture), "rb") as file:
            return look_at(file, limits)
    with tempfile.TemporaryFile() as file:
        file.write(picture)
        file.flush()
        return look_at(file, limits)


def _examined(stores: Stores, key: str, limits: Limits) -> Examined:
    with tempfile.TemporaryFile() as file:
        if stores.media.get_to(key, file) > MOST_BYTES:
            raise Invalid(f"The picture has more than {MOST_BYTES:,} bytes.", reason="too_large")
        look = look_at(file, limits)
        name = hashlib.sha256(key.encode()).hexdigest()[:NAME_CHARACTERS]
        kept, thumb = f"{KEPT}/{name}.{ENDINGS[look.seen.type]}", f"{KEPT}/{name}-thumb.webp"
        file.truncate(look.seen.size_bytes)
        stores.media.put(thumb, look.thumb)
        stores.media.put_file(kept, file)
        return Examined(**asdict(look.seen), key=kept, thumb_key=thumb)
