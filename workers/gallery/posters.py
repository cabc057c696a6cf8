"""Posters of uploaded videos. A browser draws them, as it does for results of sites: see decision 0018."""

import asyncio

import structlog

from schemas.errors import BrowserLost, NotFound, ServiceError
from schemas.images import formats
from schemas.jobs.job import GeneratedImage
from schemas.messages import CHECK_UPLOAD
from stores import Stores
from workers.browsers.pool import BrowserPool
from workers.gallery.uploads import BLANK_SIDE_PX, poster_key
from workers.images.convert import make_blank_jpeg
from workers.images.decode import DecodeLimits
from workers.sites.driver.posters import draw_poster

MAX_BYTES = DecodeLimits().max_bytes

log = structlog.get_logger(__name__)


class PosterRunner:
    """Draws posters in the browser of one worker."""

    def __init__(self, stores: Stores, browsers: BrowserPool) -> None:
        self._stores = stores
        self._browsers = browsers

    async def draw(self, media_key: str, nonce: str) -> None:
        """Store the poster of an uploaded video, a grey one if the browser cannot play it, and continue the upload.

        If the browser or the storage is lost, a later check of the upload asks again.
        """
        media = self._stores.media
        try:
            if await asyncio.to_thread(media.exists, poster_key(media_key)):
                return
            data = await asyncio.to_thread(self._read, media_key)
            poster = await self._draw(data)
            await asyncio.to_thread(media.put, poster_key(media_key), poster)
            await asyncio.to_thread(self._stores.queue.send, CHECK_UPLOAD, nonce)
        except ServiceError as error:
            log.warning("poster.failed", code=error.code, error=str(error))

    def _read(self, media_key: str) -> bytes:
        media = self._stores.media
        if media.size(media_key) > MAX_BYTES:
            raise NotFound("The video is too large; the next check of the upload refuses it.")
        return media.get(media_key)

    async def _draw(self, data: bytes) -> bytes:
        form = formats.detect(data, formats.DELIVERED)
        if form is None:
            raise NotFound("This is not a video any more.")
        lost = asyncio.Event()
        async with self._browsers.lease(lost.set, (), None) as context:
            # The size matters only to a picture's poster.
            poster = await draw_poster(context, GeneratedImage(data, form.media_type, 1, 1))
        if lost.is_set():
            raise BrowserLost
        return poster or make_blank_jpeg(BLANK_SIDE_PX, BLANK_SIDE_PX)
