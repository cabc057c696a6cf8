"""Garbage collection of the media store: abandoned uploads, and stored images without a row in the database."""

from collections.abc import Callable, Collection, Sequence

import structlog

from schemas.images.inspected_image import LIBRARY_PREFIX, UPLOADS_PREFIX
from stores.media import Media

DAY_S = 86_400

log = structlog.get_logger(__name__)


class ReferencedKeys:
    """The media keys that rows refer to. Loaded once, and again before a key counts as unreferenced."""

    def __init__(self, load_keys: Callable[[], Collection[str]]) -> None:
        self._load_keys = load_keys
        self._keys = load_keys()

    def __call__(self, keys: Sequence[str]) -> Collection[str]:
        """Return a collection that contains those of ``keys`` that are referenced."""
        if any(key not in self._keys for key in keys):
            self._keys = self._load_keys()
        return self._keys


def delete_orphans(
    media: Media,
    referenced_keys: Callable[[Sequence[str]], Collection[str]],
    older_than_s: float = DAY_S,
    *,
    now_ms: int,
) -> int:
    """Delete unreferenced objects that are older than ``older_than_s``; return their number.

    An image gets its row within minutes of being stored, so an old one without a row will never have one.

    Raises:
        Unavailable: the media store does not answer.
    """
    before_ms = now_ms - round(older_than_s * 1000)
    deleted = media.delete_partial_uploads(before_ms)
    for keys in media.list_older_than(UPLOADS_PREFIX, before_ms):
        deleted += _delete_keys(media, keys)
    for keys in media.list_older_than(LIBRARY_PREFIX, before_ms):
        referenced = referenced_keys(keys)
        deleted += _delete_keys(media, [key for key in keys if key not in referenced])
    if deleted:
        log.info("media.swept", objects=deleted)
    return deleted


def _delete_keys(media: Media, keys: Sequence[str]) -> int:
    for key in keys:
        media.delete(key)
    return len(keys)
