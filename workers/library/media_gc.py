"""The sweep of the media store: uploads that nobody waits for any more, and pictures that no row knows."""

from collections.abc import Callable, Collection, Sequence

import structlog

from schemas.images.inspected_image import LIBRARY_PREFIX, UPLOADS_PREFIX
from stores.media import Media

DAY_S = 86_400

log = structlog.get_logger(__name__)


class ReferencedKeys:
    """The keys that rows know; asked for again before anything is deleted, and only then."""

    def __init__(self, load_keys: Callable[[], Collection[str]]) -> None:
        """``ask`` gives all of them."""
        self._load_keys = load_keys
        self._keys = load_keys()

    def __call__(self, keys: Sequence[str]) -> Collection[str]:
        """Those that have a row, and others."""
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
    """Delete what was put longer ago than that and is nobody's; how many objects it was.

    ``known_keys`` says which of up to a few thousand keys have a row; a picture gets its row within minutes of being
    put, so what is old and has none will have none.

    Raises:
        Unavailable: the media store does not serve.
    """
    before_ms = now_ms - round(older_than_s * 1000)
    swept = media.delete_partial_uploads(before_ms)
    for keys in media.list_older_than(UPLOADS_PREFIX, before_ms):
        swept += _delete_keys(media, keys)
    for keys in media.list_older_than(LIBRARY_PREFIX, before_ms):
        known = referenced_keys(keys)
        swept += _delete_keys(media, [key for key in keys if key not in known])
    if swept:
        log.info("media.swept", objects=swept)
    return swept


def _delete_keys(media: Media, keys: Sequence[str]) -> int:
    for key in keys:
        media.delete(key)
    return len(keys)
