"""State of the gallery's pictures outside of SQL: requests to background processes, upload checks and upload URLs."""

from dataclasses import dataclass
from typing import Self

from redis import Redis

from ops.infra.clock import Clock
from stores.accounts.owner_key import OwnerKey
from stores.images.picture_requests import PictureRequests
from stores.images.upload_checks import UploadChecks
from stores.images.upload_urls import UploadUrls
from stores.media import Media
from stores.queue.messages import Queue


@dataclass(frozen=True, slots=True)
class GalleryMedia:
    """The parts."""

    pictures: PictureRequests
    checks: UploadChecks
    urls: UploadUrls

    @classmethod
    def open(cls, client: Redis, queue: Queue, media: Media, clock: Clock, owner_key: OwnerKey) -> Self:
        """Create all parts."""
        return cls(PictureRequests(client, queue, media), UploadChecks(client, clock), UploadUrls(clock, owner_key))
